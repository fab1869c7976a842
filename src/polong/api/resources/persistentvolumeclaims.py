"""core/v1 PersistentVolumeClaim: a directory of the node that outlives Pods. Binding: controllers/claims.py.

Source: pkg/apis/core/validation (ValidatePersistentVolumeClaim…).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from polong.api.resources import fields, metadata
from polong.api.resources.kind import STATUS, Context, Kind, Subresource
from polong.api.tables import persistentvolumeclaims as columns
from polong.kit.errors import Cause
from polong.objects import names, quantity
from polong.objects.gvk import PERSISTENT_VOLUME_CLAIMS

Json = dict[str, Any]

CLASS = "standard"
"""The one storage class: directories of the node. It is what a claim has that names none."""

PROTECTION = "kubernetes.io/pvc-protection"

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_UNSUPPORTED = ("dataSource", "dataSourceRef", "selector", "volumeAttributesClassName")
_IMMUTABLE = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


class PersistentVolumeClaims(Kind):
    resource = PERSISTENT_VOLUME_CLAIMS
    singular = "persistentvolumeclaim"
    short_names = ("pvc",)
    columns = columns.COLUMNS
    subresources = (Subresource("status", "PersistentVolumeClaim", STATUS, stored=True),)
    answers_deleted = True

    def default(self, obj: Json, context: Context) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("volumeMode", "Filesystem")
        # Empty says "none on purpose" and is kept apart from absent, which decoding would lose: nothing here could bind it anyway.
        spec.setdefault("storageClassName", CLASS)

    def prepare_create(self, obj: Json, context: Context) -> None:
        obj["status"] = {"phase": "Pending"}
        finalizers = obj["metadata"].setdefault("finalizers", [])
        if PROTECTION not in finalizers:
            finalizers.append(PROTECTION)

    def validate(self, obj: Json) -> Sequence[Cause]:
        causes = metadata.validate(obj, self.name_errors, namespaced=True)
        spec = obj["spec"]
        causes += _modes(spec.get("accessModes") or ())
        asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
        if asked is None:
            causes.append(fields.required("spec.resources[storage]"))
        elif quantity.parse(asked) <= 0:
            causes.append(fields.invalid("spec.resources.requests[storage]", asked, "must be greater than zero"))
        for error in names.dns_subdomain_errors(spec["storageClassName"]):
            causes.append(fields.invalid("spec.storageClassName", spec["storageClassName"], error))
        if spec["volumeMode"] not in ("Block", "Filesystem"):
            causes.append(fields.unsupported("spec.volumeMode", spec["volumeMode"], ("Block", "Filesystem")))
        elif spec["volumeMode"] == "Block":
            causes.append(fields.forbidden("spec.volumeMode", "Polong does not support block volumes: a claim is a directory"))
        causes += [fields.forbidden(f"spec.{each}", "Polong does not support this field yet") for each in _UNSUPPORTED if each in spec]
        return causes

    def validate_update(self, new: Json, old: Json, subresource: str) -> Sequence[Cause]:
        if subresource:
            return ()
        if _fixed(new["spec"], old["spec"]) != _fixed(old["spec"], old["spec"]):
            return (fields.forbidden("spec", _IMMUTABLE),)
        before, after = (quantity.parse(each["spec"]["resources"]["requests"].get("storage", "0")) for each in (old, new))
        held = ((old.get("status") or {}).get("capacity") or {}).get("storage")
        if after < before and held is not None and after < quantity.parse(held):
            return (fields.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity"),)
        return ()


def _modes(modes: Sequence[str]) -> Iterator[Cause]:
    if not modes:
        yield fields.required("spec.accessModes", "at least 1 access mode is required")
    for mode in modes:
        if mode not in _MODES:
            yield fields.unsupported("spec.accessModes", mode, _MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        yield fields.forbidden("spec.accessModes", "may not use ReadWriteOncePod with other access modes")


def _fixed(spec: Json, old: Json) -> Json:
    """Without what an update may change; the volume may be given once."""
    kept = {name: value for name, value in spec.items() if name != "resources"}
    return kept if old.get("volumeName") else {name: value for name, value in kept.items() if name != "volumeName"}
