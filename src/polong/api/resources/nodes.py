"""core/v1 Node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polong.api.resources import fields, metadata
from polong.api.resources.kind import STATUS, Context, Kind, Subresource
from polong.api.tables import nodes as columns
from polong.kit.errors import Cause
from polong.objects import gvk

Json = dict[str, Any]

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


class Nodes(Kind):
    resource = gvk.NODES
    singular = "node"
    short_names = ("no",)
    columns = columns.COLUMNS
    subresources = (Subresource("status", "Node", STATUS, stored=True),)

    def fields(self, obj: Json) -> Mapping[str, str]:
        unschedulable = bool((obj.get("spec") or {}).get("unschedulable"))
        return {**super().fields(obj), "spec.unschedulable": "true" if unschedulable else "false"}

    def default(self, obj: Json, context: Context) -> None:
        obj.setdefault("spec", {})
        obj.setdefault("status", {})

    def validate(self, obj: Json) -> Sequence[Cause]:
        causes = metadata.validate(obj, self.name_errors, namespaced=False)
        for index, taint in enumerate(obj["spec"].get("taints") or ()):
            path = fields.at("spec.taints", index)
            if not taint.get("key"):
                causes.append(fields.required(f"{path}.key"))
            if taint.get("effect") not in _EFFECTS:
                causes.append(fields.unsupported(f"{path}.effect", taint.get("effect", ""), _EFFECTS))
        return causes
