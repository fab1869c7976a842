"""The other direction, for tests: an object as the protobuf body that a typed client sends."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

from polong.api.protobuf import MAGIC, _messages
from polong.objects.schema import Type, type_of


def encode(obj: dict[str, Any]) -> bytes:
    """Magic, runtime.Unknown, message."""
    schema = type_of(obj["apiVersion"], obj["kind"])
    assert schema is not None
    meta = part(1, obj["apiVersion"].encode()) + part(2, obj["kind"].encode())
    return MAGIC + part(1, meta) + part(2, message(obj, schema, schema.name)) + part(3, b"") + part(4, b"")


def message(obj: dict[str, Any], schema: Type, name: str) -> bytes:
    out = b""
    for number, field in sorted(_messages()[name].items()):
        if field.inline:
            out += part(number, message(obj, schema, field.inline))
        elif field.name in obj and (child := schema.field(field.name)) is not None:
            value = obj[field.name]
            if child.kind == "array":
                out += b"".join(one(number, item, child.items()) for item in value)
            elif child.kind == "map":
                out += b"".join(part(number, part(1, key.encode()) + entry(item, child.field(""))) for key, item in value.items())
            else:
                out += one(number, value, child)
    return out


def entry(value: Any, element: Type | None) -> bytes:
    assert element is not None
    if element.kind == "array":
        return part(2, b"".join(one(1, item, element.items()) for item in value))
    return one(2, value, element)


def one(number: int, value: Any, schema: Type | None) -> bytes:
    assert schema is not None
    if schema.short_name in ("Time", "MicroTime"):
        moment = datetime.fromisoformat(value)
        return part(number, integer(1, int(moment.timestamp())) + integer(2, moment.microsecond * 1000))
    if schema.kind == "quantity":
        return part(number, part(1, value.encode()))
    if schema.kind == "int-or-string":
        text = isinstance(value, str)
        return part(number, integer(1, int(text)) + integer(2, 0 if text else value) + part(3, value.encode() if text else b""))
    if schema.kind in ("integer", "boolean"):
        return integer(number, int(value))
    if schema.kind == "object":
        return part(number, message(value, schema, schema.name))
    if schema.kind == "any":
        return part(number, part(1, json.dumps(value).encode()))
    return part(number, base64.b64decode(value) if schema.format == "byte" else value.encode())


def part(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value % 2**64)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
