"""ObjectMeta: what every object's metadata must satisfy. Source: apimachinery pkg/api/validation/objectmeta.go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from polong.api.resources import fields
from polong.kit.errors import Cause
from polong.objects import names

Json = dict[str, Any]

_ANNOTATIONS_LIMIT = 256 * 1024


def validate(obj: Json, name_errors: Callable[[str], list[str]], *, namespaced: bool) -> list[Cause]:
    metadata = obj.get("metadata") or {}
    causes: list[Cause] = []
    name = metadata.get("name", "")
    if not name:
        causes.append(fields.required("metadata.name", "name or generateName is required"))
    else:
        causes += [fields.invalid("metadata.name", name, error) for error in name_errors(name)]
    if namespaced and not metadata.get("namespace"):
        causes.append(fields.required("metadata.namespace"))
    causes += label_causes("metadata.labels", metadata.get("labels") or {})
    causes += annotation_causes("metadata.annotations", metadata.get("annotations") or {})
    for finalizer in metadata.get("finalizers") or ():
        causes += [fields.invalid("metadata.finalizers", finalizer, error) for error in names.qualified_name_errors(finalizer)]
    return causes


def label_causes(path: str, value: Json) -> list[Cause]:
    causes = []
    for label, text in value.items():
        causes += [fields.invalid(path, label, error) for error in names.qualified_name_errors(label)]
        causes += [fields.invalid(path, text, error) for error in names.label_value_errors(text)]
    return causes


def annotation_causes(path: str, value: Json) -> list[Cause]:
    causes = []
    for annotation in value:
        causes += [fields.invalid(path, annotation, error) for error in names.qualified_name_errors(annotation.lower())]
    if sum(len(annotation) + len(text) for annotation, text in value.items()) > _ANNOTATIONS_LIMIT:
        causes.append(fields.too_long(path, _ANNOTATIONS_LIMIT))
    return causes


def validate_update(new: Json, old: Json) -> list[Cause]:
    causes = []
    for field in ("name", "namespace", "uid", "creationTimestamp", "generateName"):
        before, after = (obj["metadata"].get(field) for obj in (old, new))
        if before != after and field != "generateName":
            causes.append(fields.invalid(f"metadata.{field}", after, "field is immutable"))
    if old["metadata"].get("deletionTimestamp"):
        kept = set(old["metadata"].get("finalizers") or ())
        if added := sorted(set(new["metadata"].get("finalizers") or ()) - kept):
            text = f"no new finalizers can be added if the object is being deleted, found new finalizers {added}"
            causes.append(fields.forbidden("metadata.finalizers", text))
    return causes
