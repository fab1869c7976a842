"""Strategic merge patch: applying one, and the three-way diff that client-side `apply` sends. Table-driven, pure.

Source: apimachinery pkg/util/strategicpatch and the directives `$patch`, `$setElementOrder`, `$deleteFromPrimitiveList`,
`$retainKeys` (sig-api-machinery strategic-merge-patch.md, preserve-order-in-strategic-merge-patch.md).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from polong.kit.errors import BadRequest
from polong.objects.schema import Type

Json = dict[str, Any]
Value = Any

PATCH = "$patch"
RETAIN = "$retainKeys"
ORDER = "$setElementOrder/"
DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"


def _field(kind: Type | None, name: str) -> Type | None:
    return kind.field(name) if kind is not None else None


def _merges(kind: Type | None) -> bool:
    return kind is not None and kind.kind == "array" and "merge" in kind.patch_strategy


# --- apply --------------------------------------------------------------------------------------------------------------------


def apply(original: Json, patch: Json, kind: Type | None) -> Json:
    """`original` with `patch` laid over it; neither is changed. BadRequest for a malformed patch."""
    return _merge_map(original, patch, kind)


def _merge_map(original: Json, patch: Json, kind: Type | None) -> Json:
    directive = patch.get(PATCH)
    if directive == "replace":
        return {name: deepcopy(value) for name, value in patch.items() if name != PATCH}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise BadRequest(f"invalid value {directive!r} for {PATCH}: expected replace, delete or merge")
    result = _retained(dict(original), patch)
    for name, value in patch.items():
        if name in (PATCH, RETAIN) or name.startswith((ORDER, DELETE_PRIMITIVES)):
            continue
        result = _merge_field(result, name, value, _field(kind, name))
    for name in _directed(patch):
        _merge_list_field(result, patch, name, _field(kind, name))
    return result


def _retained(result: Json, patch: Json) -> Json:
    if RETAIN not in patch:
        return result
    keep = patch[RETAIN]
    if not isinstance(keep, list):
        raise BadRequest(f"invalid {RETAIN}: expected a list of names")
    if extra := [name for name in patch if name not in keep and not name.startswith("$") and patch[name] is not None]:
        raise BadRequest(f"invalid {RETAIN}: {', '.join(sorted(extra))} given but not retained")
    return {name: value for name, value in result.items() if name in keep}


def _directed(patch: Json) -> list[str]:
    """Names of the lists that the patch has orders or deletions for, or values, each once."""
    names: dict[str, None] = {}
    for name, value in patch.items():
        if name.startswith((ORDER, DELETE_PRIMITIVES)):
            names[name.removeprefix(ORDER).removeprefix(DELETE_PRIMITIVES)] = None
        elif isinstance(value, list) and name != RETAIN:
            names[name] = None
    return list(names)


def _merge_field(result: Json, name: str, value: Value, kind: Type | None) -> Json:
    if value is None:
        result.pop(name, None)
    elif isinstance(value, dict):
        before = result.get(name)
        if value.get(PATCH) == "delete":
            result.pop(name, None)
        else:
            result[name] = _merge_map(before if isinstance(before, dict) else {}, value, kind)
    elif not isinstance(value, list):
        result[name] = value
    return result


def _merge_list_field(result: Json, patch: Json, name: str, kind: Type | None) -> None:
    """One list with all that the patch says about it: values, deletions, order."""
    value = patch.get(name)
    if name in patch and value is None:
        return
    order, dropped = patch.get(ORDER + name), patch.get(DELETE_PRIMITIVES + name)
    for directive, content in ((ORDER, order), (DELETE_PRIMITIVES, dropped)):
        if content is not None and not isinstance(content, list):
            raise BadRequest(f"invalid {directive}{name}: expected a list")
    before = result.get(name) if isinstance(result.get(name), list) else []
    if not _merges(kind):
        if value is not None:
            result[name] = [deepcopy(item) for item in value if not (isinstance(item, dict) and PATCH in item)]
        return
    assert kind is not None
    key = kind.patch_merge_key
    if value and order is not None:
        _check_order(value, order, key)
    if key:
        result[name] = _merge_maps(before or [], value or [], order, key, kind)
    else:
        result[name] = _merge_primitives(before or [], value or [], order, dropped or [])
    if not result[name] and name not in patch:
        result.pop(name)


def _check_order(patch: list[Value], order: list[Value], key: str) -> None:
    """What the patch adds or changes stands in the order that it asks for."""

    def name(item: Value) -> Value:
        return item.get(key) if key and isinstance(item, dict) else item

    left = iter([name(item) for item in order])
    stays = [item for item in patch if not (key and isinstance(item, dict) and item.get(PATCH) == "delete")]
    if not all(any(name(item) == other for other in left) for item in stays):
        raise BadRequest(f"The order in patch list: {json.dumps(patch)} doesn't match {ORDER[:-1]} list: {json.dumps(order)}")


def _merge_maps(before: list[Json], patch: list[Value], order: list[Value] | None, key: str, kind: Type) -> list[Json]:
    if any(isinstance(item, dict) and item.get(PATCH) == "replace" for item in patch):
        return [deepcopy(item) for item in patch if not (isinstance(item, dict) and PATCH in item)]
    result = list(before)
    for item in _keyed(patch, key):
        index = next((at for at, old in enumerate(result) if old.get(key) == item[key]), None)
        if item.get(PATCH) == "delete":
            result = [old for old in result if old.get(key) != item[key]]
        elif index is None:
            result.append(_merge_map({}, item, kind.items()))
        else:
            result[index] = _merge_map(result[index], item, kind.items())
    names = [item.get(key) for item in result]
    if order is None:
        wanted = [item[key] for item in patch if item.get(PATCH) != "delete"]
        return _ordered(result, names, wanted, [name for item in before if (name := item.get(key)) in names])
    return _ordered(result, names, [item[key] for item in _keyed(order, key)], [item.get(key) for item in _server_order(before, result)])


def _keyed(items: list[Value], key: str) -> list[Json]:
    """The items, each an object that says by `key` which it is. BadRequest where one does not."""
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get(key), str | int | float):
            raise BadRequest(f"map: {item} does not contain declared merge key: {key}")
    return items


def _server_order(before: list[Json], result: list[Json]) -> list[Json]:
    """The order that Kubernetes takes for the server's where the patch asks for one. It deletes and appends in the old list's memory, so
    that after a deletion new items count as having stood there; what the patch does to the order must be the same here."""
    return [*result, *before[len(result) :]][: len(before)]


def _merge_primitives(before: list[Value], patch: list[Value], order: list[Value] | None, dropped: list[Value]) -> list[Value]:
    result = [item for item in before if item not in dropped]
    result += [item for index, item in enumerate(patch) if item not in result and item not in patch[:index]]
    return _ordered(result, result, order if order is not None else patch, before)


def _ordered(items: Sequence[Value], keys: Sequence[Value], wanted: Sequence[Value], before: Sequence[Value]) -> list[Value]:
    """Items that the patch names in its order; the server's own stay where they stood relative to those that were there before."""
    named = sorted((at for at, key in enumerate(keys) if key in wanted), key=lambda at: wanted.index(keys[at]))
    own = [at for at, key in enumerate(keys) if key not in wanted]
    position = {_hashable(key): at for at, key in reversed(list(enumerate(before)))}
    result: list[Value] = []
    while named and own:
        left, right = position.get(_hashable(keys[named[0]])), position.get(_hashable(keys[own[0]]))
        take_own = left is not None and right is not None and right < left
        result.append(items[(own if take_own else named).pop(0)])
    return result + [items[at] for at in (*named, *own)]


def _hashable(key: Value) -> Value:
    return key if not isinstance(key, dict | list) else repr(key)


# --- three-way diff -----------------------------------------------------------------------------------------------------------


def three_way(original: Json, modified: Json, current: Json, kind: Type | None) -> Json:
    """The patch that brings `current` to `modified`, deleting what `original` (the last applied) had and `modified` has not.

    BadRequest where an item of a list does not say which it is.

    What others added to `current` stays. Empty where nothing has to change.
    """
    return _diff_map(original, modified, current, kind)


def _diff_map(original: Json, modified: Json, current: Json, kind: Type | None, *, retain: bool = False) -> Json:
    patch: Json = {}
    retain = retain or (kind is not None and "retainKeys" in kind.patch_strategy)
    for name in original:
        if name not in modified and name in current:
            patch[name] = None
    for name, value in modified.items():
        child = _field(kind, name)
        before, live = original.get(name), current.get(name)
        if isinstance(value, dict) and isinstance(live, dict):
            inner = _diff_map(before if isinstance(before, dict) else {}, value, live, child)
            if inner:
                patch[name] = inner
        elif isinstance(value, list) and isinstance(live, list) and _merges(child):
            patch.update(_diff_list(name, before if isinstance(before, list) else [], value, live, child))
        elif value != live or name not in current:
            patch[name] = deepcopy(value)
    if patch and retain:
        patch[RETAIN] = sorted(name for name, value in modified.items() if value is not None)
    return patch


def _diff_list(name: str, original: list[Value], modified: list[Value], current: list[Value], kind: Type | None) -> Json:
    assert kind is not None
    key = kind.patch_merge_key
    if not key:
        return _diff_primitives(name, original, modified, current)
    retain = "retainKeys" in kind.patch_strategy
    live = {item.get(key): item for item in current}
    last = {item[key]: item for item in _keyed(original, key)}
    changes: list[Json] = []
    for item in _keyed(modified, key):
        if item[key] not in live:
            changes.append(deepcopy(item))
        elif inner := _diff_map(last.get(item[key], {}), item, live[item[key]], kind.items(), retain=retain):
            changes.append({**inner, key: item[key]})
    wanted = [item.get(key) for item in modified]
    changes += [{PATCH: "delete", key: gone} for gone in last if gone not in wanted and gone in live]
    in_order = [item.get(key) for item in current if item.get(key) in wanted] == [one for one in wanted if one in live]
    if not changes and in_order:
        return {}
    patch: Json = {ORDER + name: [{key: one} for one in wanted]}
    if changes:
        patch[name] = changes
    return patch


def _diff_primitives(name: str, original: list[Value], modified: list[Value], current: list[Value]) -> Json:
    added = [item for item in modified if item not in current]
    gone = [item for item in original if item not in modified and item in current]
    in_order = [item for item in current if item in modified] == [item for item in modified if item in current]
    if not added and not gone and in_order:
        return {}
    patch: Json = {ORDER + name: list(modified)}
    if added:
        patch[name] = added
    if gone:
        patch[DELETE_PRIMITIVES + name] = gone
    return patch
