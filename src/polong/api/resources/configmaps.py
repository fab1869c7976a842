"""core/v1 ConfigMap, and what it has in common with a Secret. Source: pkg/apis/core/validation (ValidateConfigMap, …Update)."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any

from polong.api.resources import fields, metadata
from polong.api.resources.kind import Kind
from polong.api.tables import configmaps as columns
from polong.kit.errors import Cause
from polong.objects import names
from polong.objects.gvk import CONFIG_MAPS

Json = dict[str, Any]

MAX_BYTES = 1024 * 1024
"""What all values of one ConfigMap or Secret may come to."""

_IMMUTABLE = "field is immutable when `immutable` is set"


class ConfigMaps(Kind):
    resource = CONFIG_MAPS
    singular = "configmap"
    short_names = ("cm",)
    columns = columns.COLUMNS

    def validate(self, obj: Json) -> Sequence[Cause]:
        causes = metadata.validate(obj, self.name_errors, namespaced=True)
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        causes += _keys("data", data, binary, "binaryData")
        causes += _keys("binaryData", binary, data, "data")
        if sum(len(text.encode()) for text in data.values()) + decoded_bytes(binary) > MAX_BYTES:
            causes.append(fields.too_long("", MAX_BYTES))
        return causes

    def validate_update(self, new: Json, old: Json, subresource: str) -> Sequence[Cause]:
        return list(immutable_causes(new, old, ("data", "binaryData")))


def _keys(field: str, data: Json, other: Json, other_field: str) -> Iterator[Cause]:
    for key in data:
        yield from key_causes(field, key)
        if key in other:
            yield fields.invalid(fields.key(field, key), key, f"duplicate of key present in {other_field}")


def key_causes(field: str, key: str) -> Iterator[Cause]:
    for error in names.config_key_errors(key):
        yield fields.invalid(fields.key(field, key), key, error)


def decoded_bytes(data: Json) -> int:
    """Of values in base64, which decoding has made canonical."""
    return sum(len(base64.b64decode(text)) for text in data.values())


def immutable_causes(new: Json, old: Json, kept: Sequence[str]) -> Iterator[Cause]:
    """Of a change to an object that said `immutable: true`: neither that nor its data can be changed any more."""
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield fields.forbidden("immutable", _IMMUTABLE)
    for field in kept:
        if (new.get(field) or {}) != (old.get(field) or {}):
            yield fields.forbidden(field, _IMMUTABLE)
