"""core/v1 Secret. No message of this module holds a value. Source: pkg/apis/core/validation (ValidateSecret, ValidateSecretUpdate)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from polong.api.resources import configmaps, fields, metadata
from polong.api.resources.kind import Context, Kind
from polong.api.tables import secrets as columns
from polong.kit.errors import Cause
from polong.objects.gvk import SECRETS

Json = dict[str, Any]

OPAQUE = "Opaque"
SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"
SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"

_JSON_KEYS = {"kubernetes.io/dockercfg": ".dockercfg", "kubernetes.io/dockerconfigjson": ".dockerconfigjson"}
_REDACTED = "<secret contents redacted>"


class Secrets(Kind):
    resource = SECRETS
    singular = "secret"
    columns = columns.COLUMNS

    def fields(self, obj: Json) -> Mapping[str, str]:
        return {**super().fields(obj), "type": str(obj.get("type", ""))}

    def default(self, obj: Json, context: Context) -> None:
        obj.setdefault("type", OPAQUE)
        # Write-only: what is given as text becomes data, and wins over it.
        for key, text in (obj.pop("stringData", None) or {}).items():
            obj.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()

    def prepare_update(self, new: Json, old: Json, subresource: str) -> None:
        super().prepare_update(new, old, subresource)
        new.setdefault("type", old.get("type", OPAQUE))

    def validate(self, obj: Json) -> Sequence[Cause]:
        causes = metadata.validate(obj, self.name_errors, namespaced=True)
        data = obj.get("data") or {}
        for key in data:
            causes += configmaps.key_causes("data", key)
        if configmaps.decoded_bytes(data) > configmaps.MAX_BYTES:
            causes.append(fields.too_long("data", configmaps.MAX_BYTES))
        causes += _of_type(obj, data)
        return causes

    def validate_update(self, new: Json, old: Json, subresource: str) -> Sequence[Cause]:
        causes = list(configmaps.immutable_causes(new, old, ("data",)))
        if new.get("type") != old.get("type"):
            causes.insert(0, fields.invalid("type", new.get("type", ""), "field is immutable"))
        return causes


def _of_type(secret: Json, data: Json) -> Iterator[Cause]:
    """What a Secret of a well-known type must contain."""

    def missing(key: str) -> Cause:
        return fields.required(fields.key("data", key))

    match secret["type"]:
        case "kubernetes.io/service-account-token":
            if not (secret["metadata"].get("annotations") or {}).get(SERVICE_ACCOUNT_NAME):
                yield fields.required(fields.key("metadata.annotations", SERVICE_ACCOUNT_NAME))
        case "kubernetes.io/dockercfg" | "kubernetes.io/dockerconfigjson" as kind:
            key = _JSON_KEYS[kind]
            if key not in data:
                yield missing(key)
            elif (error := _json_error(data[key])) is not None:
                yield fields.invalid(fields.key("data", key), _REDACTED, error)
        case "kubernetes.io/basic-auth":
            if not {"username", "password"} & set(data):
                yield missing("username")
                yield missing("password")
        case "kubernetes.io/ssh-auth":
            if not data.get("ssh-privatekey"):
                yield missing("ssh-privatekey")
        case "kubernetes.io/tls":
            yield from (missing(key) for key in ("tls.crt", "tls.key") if key not in data)


def _json_error(encoded: str) -> str | None:
    """What is wrong with text that must be a JSON object; nothing of the text itself."""
    try:
        found = json.loads(base64.b64decode(encoded))
    except (ValueError, RecursionError):
        return "invalid JSON"
    return None if isinstance(found, dict) else "it must be a JSON object"
