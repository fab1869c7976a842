"""What environment variables and volumes point at: fields of the Pod, resources of a container, keys of objects, paths in a volume.

Source: pkg/apis/core/validation/validation.go (validateObjectFieldSelector, validateContainerResourceFieldSelector,
validateLocalDescendingPath), pkg/apis/core/pods/helpers.go (ConvertDownwardAPIFieldLabel).
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator
from typing import Any

from polong.api.resources import fields
from polong.kit.errors import Cause
from polong.objects import names

Json = dict[str, Any]

_KNOWN = frozenset(
    {
        "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
        "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.phase",
        "status.podIP", "status.podIPs",
    }
)  # fmt: skip
ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs",
    "status.podIP", "status.podIPs",
)  # fmt: skip
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_RESOURCES = tuple(f"{part}.{name}" for part in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory"))
_BYTES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_DIVISORS = {"cpu": (("1m", "1"), "cpu"), "memory": (_BYTES, "memory"), "ephemeral-storage": (_BYTES, "local ephemeral storage")}


def field_ref(reference: Json, path: str, allowed: Collection[str]) -> Iterator[Cause]:
    """An ObjectFieldSelector."""
    version, wanted = reference.get("apiVersion", ""), reference.get("fieldPath", "")
    if not version:
        yield fields.required(f"{path}.apiVersion")
        return
    if not wanted:
        yield fields.required(f"{path}.fieldPath")
        return
    base, bracket, rest = wanted.partition("['")
    subscripted = bool(bracket) and rest.endswith("']")
    if version != "v1":
        yield fields.invalid(f"{path}.fieldPath", wanted, f"error converting fieldPath: unsupported pod version: {version}")
    elif (base if subscripted else wanted) not in _KNOWN:
        yield fields.invalid(f"{path}.fieldPath", wanted, f"error converting fieldPath: field label not supported: {wanted}")
    elif subscripted:
        key = rest[:-2]
        if base not in ("metadata.annotations", "metadata.labels"):
            yield fields.invalid(path, base, "does not support subscript")
            return
        for error in names.qualified_name_errors(key.lower() if base == "metadata.annotations" else key):
            yield fields.invalid(path, key, error)
    elif wanted not in allowed:
        yield fields.unsupported(f"{path}.fieldPath", wanted, sorted(allowed))


def resource_field_ref(reference: Json, path: str, *, volume: bool) -> Iterator[Cause]:
    """A ResourceFieldSelector; in a volume it has to say of which container."""
    resource = reference.get("resource", "")
    if volume and not reference.get("containerName"):
        yield fields.required(f"{path}.containerName")
    elif not resource:
        yield fields.required(f"{path}.resource")
    elif resource not in _RESOURCES:
        yield fields.unsupported(f"{path}.resource", resource, _RESOURCES)
        return
    divisor = reference.get("divisor")
    if resource in _RESOURCES and divisor not in (None, "", "0", 0):
        values, what = _DIVISORS[resource.partition(".")[2]]
        if str(divisor) not in values:
            text = " and ".join(values) if len(values) == 2 else ", ".join(values)
            yield fields.invalid(f"{path}.divisor", resource, f"only divisor's values {text} are supported with the {what} resource")


def key_of(reference: Json, path: str) -> Iterator[Cause]:
    """A ConfigMapKeySelector or SecretKeySelector."""
    for error in names.dns_subdomain_errors(reference.get("name", "")):
        yield fields.invalid(f"{path}.name", reference.get("name", ""), error)
    if not reference.get("key"):
        yield fields.required(f"{path}.key")
    else:
        for error in names.config_key_errors(reference["key"]):
            yield fields.invalid(f"{path}.key", reference["key"], error)


def descending(target: str, path: str) -> Iterator[Cause]:
    """A path that stays beneath where it begins."""
    if posixpath.isabs(target):
        yield fields.invalid(path, target, "must be a relative path")
    if ".." in target.split("/"):
        yield fields.invalid(path, target, "must not contain '..'")


def unreserved(target: str, path: str) -> Iterator[Cause]:
    """As `descending`; names that begin with two dots belong to the atomic writer."""
    yield from descending(target, path)
    if target.startswith("..") and not target.startswith("../"):
        yield fields.invalid(path, target, "must not start with '..'")


def mode(value: int | None, path: str) -> Iterator[Cause]:
    if value is not None and not 0 <= value <= 0o777:
        yield fields.invalid(path, value, "must be a number between 0 and 0777 (octal), both inclusive")
