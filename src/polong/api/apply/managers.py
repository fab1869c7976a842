"""metadata.managedFields: who set which field, by which operation, and what becomes of that with each write.

Source: apimachinery pkg/util/managedfields, structured-merge-diff merge/update.go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from polong.api.apply import fieldset, typed
from polong.api.apply.fieldset import Node
from polong.kit.errors import BadRequest, Cause, Conflict
from polong.objects.schema import Type

Json = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL = "kubectl"
BEFORE = "before-first-apply"
ANCIENT = "ancient-changes"
MAX_UPDATERS = 10

# What nobody manages: identity, and what the server itself keeps.
_SYSTEM = ("name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields", "resourceVersion")
_SERVER = ("deletionTimestamp", "deletionGracePeriodSeconds")


@dataclass(frozen=True)
class Identity:
    """Who: appliers are one and the same in every version of the API."""

    manager: str
    operation: str
    api_version: str
    subresource: str = ""

    def __str__(self) -> str:
        """As Kubernetes names it in conflicts: `"kubectl-edit" using v1`."""
        text = json.dumps(self.manager, ensure_ascii=False)
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}" if self.operation == "Update" else text


@dataclass(frozen=True)
class Managed:
    """What one of them manages. `api_version` is the one that the fields are written in."""

    fields: Node
    api_version: str
    time: str = ""


@dataclass
class Managers:
    """All of one object. Changed by each write in turn."""

    by: dict[Identity, Managed] = field(default_factory=dict)

    def all_fields(self) -> Node:
        result: Node = {}
        for managed in self.by.values():
            result = fieldset.union(result, managed.fields)
        return result

    def take(self, fields: Node, *, but: Identity | None = None) -> None:
        """Nobody (but one) manages these any more; who has nothing left is forgotten."""
        for who, managed in list(self.by.items()):
            if who == but or not fields:
                continue
            left = fieldset.difference(managed.fields, fields)
            if not left:
                del self.by[who]
            elif left != managed.fields:
                self.by[who] = replace(managed, fields=left)


# --- to and from the object ----------------------------------------------------------------------------------------------------


def stored(entries: Sequence[Json] | None) -> Managers:
    """Of an object in the store, which `write` has written."""
    result = Managers()
    for entry in entries or ():
        who = identity(entry["manager"], entry["operation"], entry["apiVersion"], entry.get("subresource", ""))
        result.by[who] = Managed(entry["fieldsV1"], entry["apiVersion"], entry.get("time", ""))
    return result


def given(entries: object) -> Managers | None:
    """Of a client; None where it is not what managedFields must be."""
    if not isinstance(entries, list):
        return None
    result = Managers()
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("operation") not in ("Apply", "Update") or entry.get("fieldsType") != "FieldsV1":
            return None
        texts = {name: entry.get(name, "") for name in ("manager", "operation", "apiVersion", "subresource", "time")}
        fields = entry.get("fieldsV1", {})
        if not all(isinstance(text, str) for text in texts.values()) or not texts["apiVersion"] or not fieldset.is_valid(fields):
            return None
        who = identity(texts["manager"], texts["operation"], texts["apiVersion"], texts["subresource"])
        result.by[who] = Managed(fields, texts["apiVersion"], texts["time"])
    return result


def identity(manager: str, operation: str, api_version: str, subresource: str) -> Identity:
    return Identity(manager, operation, "" if operation == "Apply" else api_version, subresource)


def write(managers: Managers) -> list[Json]:
    """Appliers first, then by time and name."""
    entries = []
    for who, managed in managers.by.items():
        entry: Json = {"manager": who.manager, "operation": who.operation, "apiVersion": managed.api_version}
        if managed.time:
            entry["time"] = managed.time
        entry |= {"fieldsType": "FieldsV1", "fieldsV1": managed.fields}
        if who.subresource:
            entry["subresource"] = who.subresource
        entries.append(entry)
    return sorted(entries, key=lambda one: (one["operation"], one.get("time", ""), one["manager"], one.get("subresource", "")))


def is_reset(entries: object) -> bool:
    """`[{}]` asks to forget all managers."""
    return entries == [{}]


# --- the two operations --------------------------------------------------------------------------------------------------------


def compare(old: Json, new: Json, kind: Type | None) -> typed.Comparison:
    """How two objects differ in what anybody can manage."""
    return typed.compare(_manageable(old), _manageable(new), kind)


def _manageable(obj: Json) -> Json:
    metadata = {name: value for name, value in (obj.get("metadata") or {}).items() if name not in _SYSTEM and name not in _SERVER}
    return {name: value for name, value in obj.items() if name not in ("apiVersion", "kind")} | {"metadata": metadata}


def update(managers: Managers, comparison: typed.Comparison, who: Identity, moment: Managed) -> None:
    """A write: what it changed is its own from now on. `moment` holds version and time."""
    changed = fieldset.union(comparison.added, comparison.modified)
    managers.take(fieldset.union(changed, comparison.removed))
    if changed:
        mine = managers.by.get(who)
        managers.by[who] = replace(moment, fields=fieldset.union(mine.fields if mine else {}, changed))
        _forget_the_oldest(managers)


def _forget_the_oldest(managers: Managers) -> None:
    """No more than MAX_UPDATERS that update: the oldest become one, "ancient-changes"."""
    updaters = sorted(
        (who for who in managers.by if who.operation == "Update" and not who.subresource), key=lambda who: managers.by[who].time
    )
    for who in updaters[: max(0, len(updaters) - MAX_UPDATERS)]:
        if who.manager == ANCIENT:
            continue
        old = managers.by.pop(who)
        bucket = replace(who, manager=ANCIENT)
        before = managers.by.get(bucket)
        managers.by[bucket] = replace(old, fields=fieldset.union(before.fields, old.fields) if before else old.fields)


def zero(kind: Type | None) -> Json:
    """What an object is before its creation: Go's structs are there, empty, and so are fields that have to be given."""
    result: Json = {}
    for name in ("metadata", "spec", "status"):
        part = kind.field(name) if kind is not None else None
        if part is not None:
            result[name] = dict.fromkeys(part.required)
    return result


@dataclass(frozen=True)
class Applied:
    """An applied configuration, and by whom. `ignored` are top-level fields that this door does not change."""

    config: Json
    who: Identity
    moment: Managed
    force: bool = False
    ignored: Sequence[str] = ()


def apply(managers: Managers, live: Json, applied: Applied, kind: Type | None) -> Json:
    """`live` with the configuration applied. Conflict where others manage what it changes, unless forced; BadRequest."""
    config = {name: value for name, value in _manageable(applied.config).items() if name not in applied.ignored}
    fields = typed.declared({name: value for name, value in config.items() if name != "metadata" or value}, kind)
    last = managers.by.get(applied.who)
    merged = typed.merge(_manageable(live), config, kind)
    if fields:
        managers.by[applied.who] = replace(applied.moment, fields=fields)
    else:
        managers.by.pop(applied.who, None)
    if last is not None:
        merged = typed.prune(merged, kind, last.fields, managers.all_fields())
    comparison = typed.compare(_manageable(live), merged, kind)
    changed = fieldset.union(comparison.added, comparison.modified)
    conflicts = _conflicts(managers, applied.who, changed)
    if conflicts and not applied.force:
        _refuse(_but_last_applied(conflicts, live, kind) if applied.who.manager == KUBECTL else conflicts)
    managers.take(fieldset.union(changed, comparison.removed), but=applied.who)
    if last is not None and not changed and not comparison.removed and last.fields == fields:
        managers.by[applied.who] = last
    kept = {name: value for name, value in live["metadata"].items() if name in _SYSTEM or name in _SERVER}
    return {**merged, "apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": {**merged.get("metadata", {}), **kept}}


def _conflicts(managers: Managers, who: Identity, changed: Node) -> dict[Identity, Node]:
    found = {other: fieldset.intersection(managed.fields, changed) for other, managed in managers.by.items() if other != who}
    return {other: fields for other, fields in found.items() if fields}


def _but_last_applied(conflicts: Mapping[Identity, Node], live: Json, kind: Type | None) -> dict[Identity, Node]:
    """Without what client-side apply set and nobody changed since: kubectl comes to server-side apply without force."""
    try:
        last = json.loads((live["metadata"].get("annotations") or {}).get(LAST_APPLIED, ""))
        theirs = typed.declared(_manageable(last), kind) if isinstance(last, dict) else {}
    except (ValueError, RecursionError, AttributeError, BadRequest):
        return dict(conflicts)
    comparison = typed.compare(_manageable(last), _manageable(live), kind)
    allowed = fieldset.difference(theirs, fieldset.union(comparison.modified, comparison.removed))
    left = {who: fieldset.difference(fields, allowed) for who, fields in conflicts.items()}
    return {who: fields for who, fields in left.items() if fields}


def _refuse(conflicts: Mapping[Identity, Node]) -> None:
    found = sorted((str(who), list(fieldset.paths(fields))) for who, fields in conflicts.items())
    causes = tuple(Cause("FieldManagerConflict", f"conflict with {who}", path) for who, paths in found for path in paths)
    if not causes:
        return
    if len(causes) == 1:
        raise Conflict(f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}", causes=causes)
    texts = ["\n".join([f"conflicts with {who}:", *(f"- {path}" for path in paths)]) for who, paths in found]
    raise Conflict(f"Apply failed with {len(causes)} conflicts: " + "\n".join(texts), causes=causes)
