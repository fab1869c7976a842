"""core/v1 Namespace. Its deletion (contents first) is controllers/namespaces.py's work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polong.api.resources import metadata
from polong.api.resources.kind import STATUS, Context, Kind, Subresource
from polong.api.tables import namespaces as columns
from polong.kit.errors import Cause
from polong.objects import gvk, names

Json = dict[str, Any]

INITIAL = ("default", "kube-node-lease", "kube-public", "kube-system")
UNDELETABLE = frozenset({"default", "kube-public", "kube-system"})
NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"


class Namespaces(Kind):
    resource = gvk.NAMESPACES
    singular = "namespace"
    short_names = ("ns",)
    columns = columns.COLUMNS
    verbs = tuple(verb for verb in Kind.verbs if verb != "deletecollection")
    subresources = (
        Subresource("finalize", "Namespace", ("update",), stored=True),
        Subresource("status", "Namespace", STATUS, stored=True),
    )
    answers_deleted = True

    def name_errors(self, name: str) -> list[str]:
        return names.dns_label_errors(name)

    def fields(self, obj: Json) -> Mapping[str, str]:
        return {**super().fields(obj), "status.phase": str((obj.get("status") or {}).get("phase", ""))}

    def default(self, obj: Json, context: Context) -> None:
        if obj["metadata"].get("name"):
            obj["metadata"].setdefault("labels", {})[NAME_LABEL] = obj["metadata"]["name"]
        obj.setdefault("spec", {})

    def prepare_create(self, obj: Json, context: Context) -> None:
        finalizers = obj["spec"].setdefault("finalizers", [])
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)
        obj["status"] = {"phase": "Active"}

    def prepare_update(self, new: Json, old: Json, subresource: str) -> None:
        super().prepare_update(new, old, subresource)
        if subresource != "finalize":
            new["spec"] = {**new.get("spec", {}), "finalizers": old["spec"].get("finalizers", [])}

    def undeletable(self, name: str) -> str:
        return "this namespace may not be deleted" if name in UNDELETABLE else ""

    def validate(self, obj: Json) -> Sequence[Cause]:
        return metadata.validate(obj, self.name_errors, namespaced=False)
