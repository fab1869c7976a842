"""Environment of a container: env and envFrom. Source: pkg/apis/core/validation/validation.go (ValidateEnv, ValidateEnvFrom)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from polong.api.resources import fields, pod_references
from polong.kit.errors import Cause
from polong.objects import names

Json = dict[str, Any]

_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def validate(container: Json, path: str, volumes: Mapping[str, Json]) -> Iterator[Cause]:
    """`volumes` of the Pod by name."""
    for index, entry in enumerate(container.get("env") or ()):
        yield from _variable(entry, f"{path}.env[{index}]", volumes)
    for index, source in enumerate(container.get("envFrom") or ()):
        yield from _all_of(source, f"{path}.envFrom", index)


def _file_key(reference: Json, path: str, volumes: Mapping[str, Json]) -> Iterator[Cause]:
    """Source: validateFileKeySelector."""
    for name in ("key", "path", "volumeName"):
        if not reference.get(name):
            yield fields.required(f"{path}.{name}")
    where = reference.get("path") or ""
    if where.startswith("/") or ".." in where.split("/"):
        yield fields.invalid(f"{path}.path", where, "must be a relative path and must not contain '..'")
    if volume := reference.get("volumeName"):
        if volume not in volumes:
            yield fields.not_found(f"{path}.volumeName", volume)
        elif "emptyDir" not in volumes[volume]:
            yield fields.invalid(f"{path}.volumeName", volume, "referenced volume must be of type emptyDir")


def _variable(entry: Json, path: str, volumes: Mapping[str, Json]) -> Iterator[Cause]:
    name, source = entry.get("name", ""), entry.get("valueFrom")
    if not name:
        yield fields.required(f"{path}.name")
    else:
        for error in names.env_name_errors(name):
            yield fields.invalid(f"{path}.name", name, error)
    if source is None:
        return
    path = f"{path}.valueFrom"
    if (reference := source.get("fieldRef")) is not None:
        yield from pod_references.field_ref(reference, f"{path}.fieldRef", pod_references.ENV_FIELDS)
    if (reference := source.get("resourceFieldRef")) is not None:
        yield from pod_references.resource_field_ref(reference, f"{path}.resourceFieldRef", volume=False)
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if (reference := source.get(kind)) is not None:
            yield from pod_references.key_of(reference, f"{path}.{kind}")
    if (reference := source.get("fileKeyRef")) is not None:
        yield from _file_key(reference, f"{path}.fileKeyRef", volumes)
    given = [one for one in _SOURCES if source.get(one) is not None]
    if not given:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        yield fields.invalid(path, "", text)
    elif entry.get("value"):
        yield fields.invalid(path, "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        yield fields.invalid(path, "", "may not have more than one field specified at a time")


def _all_of(entry: Json, path: str, index: int) -> Iterator[Cause]:
    where, prefix = fields.at(path, index), entry.get("prefix", "")
    for error in names.env_name_errors(prefix) if prefix else ():
        yield fields.invalid(f"{where}.prefix", prefix, error)
    given = [kind for kind in ("configMapRef", "secretRef") if entry.get(kind) is not None]
    for kind in given:
        name = entry[kind].get("name", "")
        if not name:
            yield fields.required(f"{where}.{kind}.name")
        for error in names.dns_subdomain_errors(name) if name else ():
            yield fields.invalid(f"{where}.{kind}.name", name, error)
    if not given:
        yield fields.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
    elif len(given) > 1:
        yield fields.invalid(path, "", "may not have more than one field specified at a time")
