"""scheduling.k8s.io/v1 PriorityClass. What it means for a Pod: admission/priority.py. Source: pkg/apis/scheduling/validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polong.api.resources import fields, metadata
from polong.api.resources.kind import Context, Kind
from polong.api.tables import priorityclasses as columns
from polong.kit.errors import Cause
from polong.objects.gvk import Resource

Json = dict[str, Any]

HIGHEST = 1_000_000_000
"""The highest value that a class may have which is not the system's."""

_SYSTEM_PREFIX = "system-"
_POLICIES = ("Never", "PreemptLowerPriority")


def _system(name: str, value: int, description: str) -> Json:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name, "generation": 1},
        "value": value,
        "description": description,
        "preemptionPolicy": "PreemptLowerPriority",
    }


SYSTEM = {
    each["metadata"]["name"]: each
    for each in (
        _system("system-node-critical", 2_000_001_000, "Used for system critical pods that must not be moved from their current node."),
        _system(
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
    )
}
"""The classes that are always there."""


class PriorityClasses(Kind):
    resource = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
    singular = "priorityclass"
    short_names = ("pc",)
    columns = columns.COLUMNS
    has_generation = True

    def default(self, obj: Json, context: Context) -> None:
        obj.setdefault("value", 0)
        obj.setdefault("preemptionPolicy", "PreemptLowerPriority")
        if obj.get("globalDefault") is False:
            del obj["globalDefault"]

    def validate(self, obj: Json) -> Sequence[Cause]:
        causes = metadata.validate(obj, self.name_errors, namespaced=False)
        name, value = obj["metadata"].get("name", ""), obj["value"]
        if name.startswith(_SYSTEM_PREFIX):
            if why := _not_system(obj):
                text = "priority class names with 'system-' prefix are reserved for system use only. error: "
                causes.append(fields.forbidden("metadata.name", text + why))
        elif value > HIGHEST:
            causes.append(fields.forbidden("value", f"maximum allowed value of a user defined priority is {HIGHEST}"))
        if obj["preemptionPolicy"] not in _POLICIES:
            causes.append(fields.unsupported("preemptionPolicy", obj["preemptionPolicy"], _POLICIES))
        return causes

    def validate_update(self, new: Json, old: Json, subresource: str) -> Sequence[Cause]:
        causes = []
        if new.get("value") != old.get("value"):
            causes.append(fields.forbidden("value", "may not be changed in an update."))
        if new.get("preemptionPolicy") != old.get("preemptionPolicy"):
            causes.append(fields.invalid("preemptionPolicy", new.get("preemptionPolicy", ""), "field is immutable"))
        return causes

    def undeletable(self, name: str) -> str:
        return "this is a system priority class and cannot be deleted" if name in SYSTEM else ""


def _not_system(obj: Json) -> str:
    """Why this is not one of the system's classes, in the words of IsKnownSystemPriorityClass."""
    name = obj["metadata"]["name"]
    known = SYSTEM.get(name)
    if known is None:
        return f"{name} is not a known system priority class"
    if obj["value"] != known["value"]:
        return f"value of {name} PriorityClass must be {known['value']}"
    return f"globalDefault of {name} PriorityClass must be false" if obj.get("globalDefault") else ""
