"""Kubernetes' protobuf bodies, as far as kubectl's typed calls send them: magic, runtime.Unknown, message. Pure.

Field numbers from k8s.io/apimachinery pkg/apis/meta/v1/generated.proto and k8s.io/api/core/v1/generated.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from polong.api import status
from polong.kit.clock import rfc3339
from polong.kit.errors import BadRequest

Json = dict[str, Any]
Value = Any

MAGIC = b"k8s\x00"


@dataclass(frozen=True)
class _Field:
    """`type` is string, int, bool, time, map (of strings) or the name of a message."""

    name: str
    type: str = "string"
    repeated: bool = False


_MESSAGES: Mapping[str, Mapping[int, _Field]] = {
    "Unknown": {1: _Field("typeMeta", "TypeMeta"), 2: _Field("raw", "bytes"), 3: _Field("contentEncoding"), 4: _Field("contentType")},
    "TypeMeta": {1: _Field("apiVersion"), 2: _Field("kind")},
    "DeleteOptions": {
        1: _Field("gracePeriodSeconds", "int"),
        2: _Field("preconditions", "Preconditions"),
        3: _Field("orphanDependents", "bool"),
        4: _Field("propagationPolicy"),
        5: _Field("dryRun", repeated=True),
        6: _Field("ignoreStoreReadErrorWithClusterBreakingPotential", "bool"),
    },
    "Preconditions": {1: _Field("uid"), 2: _Field("resourceVersion")},
    "ObjectMeta": {
        1: _Field("name"),
        2: _Field("generateName"),
        3: _Field("namespace"),
        4: _Field("selfLink"),
        5: _Field("uid"),
        6: _Field("resourceVersion"),
        7: _Field("generation", "int"),
        8: _Field("creationTimestamp", "time"),
        9: _Field("deletionTimestamp", "time"),
        10: _Field("deletionGracePeriodSeconds", "int"),
        11: _Field("labels", "map"),
        12: _Field("annotations", "map"),
        14: _Field("finalizers", repeated=True),
    },
    "Namespace": {1: _Field("metadata", "ObjectMeta"), 2: _Field("spec", "NamespaceSpec"), 3: _Field("status", "NamespaceStatus")},
    "NamespaceSpec": {1: _Field("finalizers", repeated=True)},
    "NamespaceStatus": {1: _Field("phase")},
}

DECODABLE = ("DeleteOptions", "Namespace")


def decode(data: bytes) -> Json:
    """The object in `data`, as JSON. 415 for kinds that are not decoded, BadRequest for what is no such message."""
    if not data.startswith(MAGIC):
        raise BadRequest("cannot decode the body: it does not begin with Kubernetes' protobuf prefix")
    envelope = _message(data[len(MAGIC) :], "Unknown")
    meta = envelope.get("typeMeta") or {}
    kind = meta.get("kind", "")
    if kind not in DECODABLE:
        raise status.unsupported_media(
            f"Polong does not decode {kind or 'this kind'} from application/vnd.kubernetes.protobuf: send application/json"
        )
    return {"apiVersion": meta.get("apiVersion", ""), "kind": kind} | _message(envelope.get("raw") or b"", kind)


def _message(data: bytes, kind: str) -> Json:
    known = _MESSAGES[kind]
    result: Json = {}
    for number, value in _fields(data):
        one = known.get(number)
        if one is None:
            raise status.unsupported_media(f"Polong does not decode field {number} of {kind} from protobuf: send application/json")
        if one.type == "map":
            key, text = _entry(value)
            result.setdefault(one.name, {})[key] = text
        elif one.repeated:
            result.setdefault(one.name, []).append(_value(value, one.type))
        else:
            result[one.name] = _value(value, one.type)
    return result


def _value(value: int | bytes, kind: str) -> Value:
    if kind in ("int", "bool"):
        if not isinstance(value, int):
            raise BadRequest("cannot decode the protobuf body: wrong wire type")
        number = value - 2**64 if value >= 2**63 else value
        return bool(number) if kind == "bool" else number
    if not isinstance(value, bytes):
        raise BadRequest("cannot decode the protobuf body: wrong wire type")
    if kind == "bytes":
        return value
    if kind == "string":
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise BadRequest("cannot decode the protobuf body: a string is not UTF-8") from None
    if kind == "time":
        seconds = dict(_fields(value)).get(1)
        return rfc3339(datetime.fromtimestamp(seconds, UTC)) if isinstance(seconds, int) and seconds < 2**36 else None
    return _message(value, kind)


def _entry(value: int | bytes) -> tuple[str, str]:
    if not isinstance(value, bytes):
        raise BadRequest("cannot decode the protobuf body: wrong wire type")
    parts = dict(_fields(value))
    return _value(parts.get(1, b""), "string"), _value(parts.get(2, b""), "string")


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire == 2:
            length, at = _varint(data, at)
            if length > len(data) - at:
                raise BadRequest("cannot decode the protobuf body: it is cut short")
            yield number, data[at : at + length]
            at += length
        else:
            raise BadRequest(f"cannot decode the protobuf body: wire type {wire}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
        shift += 7
    raise BadRequest("cannot decode the protobuf body: it is cut short")
