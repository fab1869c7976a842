"""Objects along their types: which fields they set, how two of them differ, and one merged into another.

Lists and objects are atomic (one field, replaced whole) unless the schema says otherwise: sets, lists of keyed items, and objects merge
part by part. Source: structured-merge-diff `typed` (tofieldset, compare, merge, remove).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from polong.api.apply import fieldset
from polong.api.apply.fieldset import SELF, Node
from polong.kit.errors import BadRequest
from polong.objects.schema import Type

Value = Any

# Keys of list items that Kubernetes' own types fill in, where an item leaves them out; OpenAPI does not carry them.
_KEY_DEFAULTS: Mapping[str, Value] = {"protocol": "TCP"}

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


class _Repeated(list[Value]):
    """Items of a list that have the same keys: one value, never merged."""


@dataclass
class Comparison:
    """Sets of fields. What was added or removed with its contents is named at each level."""

    added: Node = field(default_factory=dict)
    modified: Node = field(default_factory=dict)
    removed: Node = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.modified or self.removed)


# --- steps ---------------------------------------------------------------------------------------------------------------------


def _parts(value: Value, kind: Type | None) -> dict[str, Value] | None:
    """What `value` consists of, by step; None where it is one field as a whole."""
    if isinstance(value, dict):
        if kind is not None and not kind.merges:
            return None
        return {f"f:{name}": child for name, child in value.items()}
    if isinstance(value, list) and kind is not None and kind.merges and not isinstance(value, _Repeated):
        parts: dict[str, Value] = {}
        for item in value:
            step = _item_step(item, kind)
            if step is None:
                return None
            if step in parts:
                before = parts[step]
                parts[step] = _Repeated([*(before if isinstance(before, _Repeated) else [before]), item])
            else:
                parts[step] = item
        return parts
    return None


def _item_step(item: Value, kind: Type) -> str | None:
    """None where the item does not say which it is."""
    if kind.merges == "set":
        return f"v:{_dumps(item)}"
    if not isinstance(item, dict):
        return None
    keys = {name: item[name] if name in item else _KEY_DEFAULTS.get(name) for name in kind.list_map_keys}
    return None if None in keys.values() else f"k:{_dumps(keys)}"


def _child(kind: Type | None, step: str) -> Type | None:
    if kind is None:
        return None
    return kind.field(step[2:]) if step.startswith("f:") else kind.items()


# --- sets of fields ------------------------------------------------------------------------------------------------------------


def declared(value: Value, kind: Type | None, *, path: str = "") -> Node:
    """The fields that an applied configuration sets. BadRequest for a list whose items cannot be told apart."""
    parts = _parts(value, kind)
    if parts is None:
        if isinstance(value, list) and kind is not None and kind.merges:
            raise BadRequest(f"{path}: associative list with keys has an element that omits key field {_keys(kind)}")
        return {}
    result: Node = {}
    for step, item in parts.items():
        where = path + next(fieldset.paths({step: {}}))
        if isinstance(item, _Repeated):
            raise BadRequest(f"{path}: duplicate entries for key {where[len(path) :]}")
        node = declared(item, _child(kind, step), path=where)
        if step.startswith("f:"):
            inner = _parts(item, _child(kind, step))
            # A field that has parts is not itself set; an empty object is, an empty list that merges is not.
            if node or inner is None or (not inner and isinstance(item, dict)):
                result[step] = node
        else:
            result[step] = {SELF: {}, **node} if node else {}
    return result


def _keys(kind: Type) -> str:
    return ", ".join(f'"{name}"' for name in kind.list_map_keys)


def whole(value: Value, kind: Type | None) -> Node:
    """A value that appears or goes as a whole: itself and all in it."""
    parts = _parts(value, kind)
    if not parts:
        return {}
    return {SELF: {}, **{step: whole(item, _child(kind, step)) for step, item in parts.items()}}


def compare(old: Value, new: Value, kind: Type | None) -> Comparison:
    """How `new` differs from `old`, which both are objects."""
    result = Comparison()
    if old != new:
        _compare(old, new, kind, result)
    return result


def _compare(old: Value, new: Value, kind: Type | None, into: Comparison) -> bool:
    """Fill `into` with what lies below two values that differ; False where they differ as a whole."""
    before, after = _parts(old, kind), _parts(new, kind)
    if old is None and after is not None:
        before = {}
    elif isinstance(old, list) is not isinstance(new, list):
        return False
    if before is None or after is None:
        return False
    for step, item in after.items():
        child = _child(kind, step)
        if step not in before:
            into.added[step] = whole(item, child)
        elif before[step] != item:
            inner = Comparison()
            if not _compare(before[step], item, child, inner):
                into.modified[step] = {}
                continue
            for name in ("added", "modified", "removed"):
                if found := getattr(inner, name):
                    getattr(into, name)[step] = found
    for step in before.keys() - after.keys():
        into.removed[step] = whole(before[step], _child(kind, step))
    return True


# --- merging -------------------------------------------------------------------------------------------------------------------


def merge(live: Value, config: Value, kind: Type | None) -> Value:
    """`live` with all that `config` sets; neither is changed, parts are shared."""
    mine, theirs = _parts(live, kind), _parts(config, kind)
    if mine is None or theirs is None or isinstance(live, list) is not isinstance(config, list):
        return config
    merged = {step: merge(mine[step], item, _child(kind, step)) if step in mine else item for step, item in theirs.items()}
    if isinstance(config, dict):
        return {**live, **{step[2:]: item for step, item in merged.items()}}
    result: list[Value] = []
    for step in _order(list(mine), list(theirs)):
        item = merged.get(step, mine.get(step))
        result.extend(item if isinstance(item, _Repeated) else [item])
    return result


def _order(live: Sequence[str], config: Sequence[str]) -> list[str]:
    """The configuration's order; what it does not name stays behind what it stood behind."""
    named = set(config)
    result: list[str] = []
    at = 0
    for step in live:
        if step not in named:
            result.append(step)
        elif step in config[at:]:
            upto = config.index(step, at) + 1
            result.extend(config[at:upto])
            at = upto
    return result + list(config[at:])


def prune(value: Value, kind: Type | None, gone: Node, managed: Node) -> Value:
    """`value` without the fields of `gone` of which nobody manages anything any more (`managed`: all managers' fields)."""
    parts = _parts(value, kind)
    if parts is None:
        return value
    kept: dict[str, Value] = {}
    for step, item in parts.items():
        left, others = gone.get(step), managed.get(step)
        if left is None:
            kept[step] = item
        elif others is not None:
            kept[step] = prune(item, _child(kind, step), left, others)
        elif not step.startswith("f:") and not fieldset.is_member(left):
            kept[step] = prune(item, _child(kind, step), left, {})
    if isinstance(value, dict):
        return {step[2:]: item for step, item in kept.items()}
    result: list[Value] = []
    for item in kept.values():
        result.extend(item if isinstance(item, _Repeated) else [item])
    return result
