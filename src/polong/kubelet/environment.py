"""Environment of a container: literal values with $(VAR) expansion, the downward API, ConfigMaps and Secrets. Pure.

Source: Kubernetes' expansion grammar (docs "Define Dependent Environment Variables"); kubelet makeEnvironmentVariables.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from polong.kit.errors import Invalid
from polong.kubelet import downward
from polong.kubelet.downward import Addresses, Allocatable
from polong.objects import pod as pods
from polong.objects.podreferences import CONFIG_MAP, SECRET, Reference

Json = dict[str, Any]

__all__ = ["Addresses", "Allocatable", "Sources", "environment", "expand", "expand_strictly"]

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
_REASON = "CreateContainerConfigError"


@dataclass(frozen=True)
class Sources:
    """What values may come from. `objects` has an entry for each reference of the container, None where there is no such object."""

    addresses: Addresses = field(default_factory=Addresses)
    node: Allocatable = field(default_factory=Allocatable)
    objects: Mapping[Reference, Json | None] = field(default_factory=dict)
    files: Mapping[tuple[str, str], Mapping[str, str] | None] = field(default_factory=dict)
    """By volume and path, for each fileKeyRef of the container."""
    services: Mapping[str, str] = field(default_factory=dict)
    """Variables of Services: what the container says itself goes before them."""


def expand(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` becomes its value where it has one and stays as it is where not; `$$` is a dollar."""

    def replace(match: re.Match[str]) -> str:
        if match.group(1) is None:
            return "$"
        return values.get(match.group(1), match.group(0))

    return _REFERENCE.sub(replace, text)


def expand_strictly(text: str, values: Mapping[str, str]) -> str:
    """As `expand`; Invalid (CreateContainerConfigError) for a name without a value."""
    for match in _REFERENCE.finditer(text):
        if match.group(1) is not None and match.group(1) not in values:
            raise Invalid(f'missing value for "{match.group(1)}"', reason=_REASON)
    return expand(text, values)


def environment(pod: Json, container: Json, sources: Sources) -> dict[str, str]:
    """Name to value in the order of the spec, envFrom first: a later entry replaces an earlier one, and may refer to those before it.
    Invalid (CreateContainerConfigError) where a source cannot be resolved."""
    values: dict[str, str] = dict(sources.services)
    for source in container.get("envFrom") or ():
        values.update(_everything(source, sources.objects))
    for entry in container.get("env") or ():
        origin = entry.get("valueFrom")
        found = expand(entry.get("value") or "", values) if origin is None else _resolve(pod, container, origin, sources)
        if found is not None:
            values[entry["name"]] = found
    return values


def _resolve(pod: Json, container: Json, source: Json, sources: Sources) -> str | None:
    """None where an optional source is not there."""
    if reference := source.get("fieldRef"):
        return downward.field(pod, reference["fieldPath"], sources.addresses)
    if reference := source.get("resourceFieldRef"):
        return downward.resource(pod, container, reference, sources.node)
    if reference := source.get("fileKeyRef"):
        return _file_key(reference, sources.files)
    for name, kind in (("configMapKeyRef", CONFIG_MAP), ("secretKeyRef", SECRET)):
        if reference := source.get(name):
            return _key(pod, kind, reference, sources.objects)
    raise Invalid(f"unsupported source of an environment variable: {', '.join(source)}", reason=_REASON)


def _everything(source: Json, objects: Mapping[Reference, Json | None]) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for name, kind in (("configMapRef", CONFIG_MAP), ("secretRef", SECRET)):
        if reference := source.get(name):
            found = _object(kind, reference, objects)
            data = (found or {}).get("data") or {}
            return {f"{prefix}{key}": _text(kind, found or {}, key) for key in sorted(data)}
    raise Invalid(f"unsupported source of environment variables: {', '.join(source)}", reason=_REASON)


def _file_key(reference: Json, files: Mapping[tuple[str, str], Mapping[str, str] | None]) -> str | None:
    found = files.get((reference["volumeName"], reference["path"]))
    if found is not None and reference["key"] in found:
        return found[reference["key"]]
    if reference.get("optional"):
        return None
    where = f"file {reference['path']} of volume {reference['volumeName']}"
    raise Invalid(f"couldn't find key {reference['key']} in {where}" if found is not None else f"{where} not found", reason=_REASON)


def file_references(container: Json) -> set[tuple[str, str]]:
    """(volume, path) of each fileKeyRef."""
    references = ((entry.get("valueFrom") or {}).get("fileKeyRef") for entry in container.get("env") or ())
    return {(each["volumeName"], each["path"]) for each in references if each}


def _key(pod: Json, kind: str, reference: Json, objects: Mapping[Reference, Json | None]) -> str | None:
    found = _object(kind, reference, objects)
    if found is None:
        return None
    key = reference["key"]
    if key in (found.get("data") or {}):
        return _text(kind, found, key)
    if reference.get("optional"):
        return None
    raise Invalid(f"couldn't find key {key} in {kind} {pods.namespace(pod)}/{reference['name']}", reason=_REASON)


def _object(kind: str, reference: Json, objects: Mapping[Reference, Json | None]) -> Json | None:
    name = reference.get("name") or ""
    found = objects.get(Reference(kind, name))
    if found is None and not reference.get("optional"):
        raise Invalid(f'{kind.lower()} "{name}" not found', reason=_REASON)
    return found


def _text(kind: str, found: Json, key: str) -> str:
    """Only `data`: binaryData of a ConfigMap is for volumes."""
    value = found["data"][key]
    return _plain(found, key, value) if kind == SECRET else str(value)


def _plain(secret: Json, key: str, encoded: str) -> str:
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise _no_text(secret, key) from error
    if "\0" in text:
        raise _no_text(secret, key)
    return text


def _no_text(secret: Json, key: str) -> Invalid:
    metadata = secret["metadata"]
    return Invalid(
        f"key {key} in Secret {metadata.get('namespace', '')}/{metadata['name']} is not text, as environment variables must be: mount it",
        reason=_REASON,
    )
