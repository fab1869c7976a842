"""Kubernetes' protobuf bodies to JSON: magic, runtime.Unknown, message. Pure and table-driven: numbers from `protobuf_fields.txt`, types
from the schema. Typed calls of kubectl 1.32 and later send these, and know no way back to JSON.

Source: apimachinery pkg/runtime/serializer/protobuf; protocol buffers' encoding. Zero values of what is no pointer in Go are absent, as
Go's omitempty leaves them out of JSON. Numbers that the table does not know are passed over, as Kubernetes' own decoders do.
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

from polong.api import status
from polong.kit.errors import BadRequest
from polong.objects.schema import Type, type_of

Json = dict[str, Any]
Value = Any
Wire = int | bytes

MAGIC = b"k8s\x00"
MAX_VALUES = 400_000
"""Messages, elements and scalars in one body: two bytes of wire can be a hundred of memory."""

_CUT = "cannot decode the protobuf body: it is cut short"
_WRONG = "cannot decode the protobuf body: wrong wire type"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class _Field:
    """`inline` names a message whose fields are the outer object's; `pointer` ones are kept even where they are zero."""

    name: str
    pointer: bool = False
    inline: str = ""


@functools.cache
def _messages() -> Mapping[str, Mapping[int, _Field]]:
    """Fields by number, by full name of the message. About 1 ms, once."""
    table: dict[str, dict[int, _Field]] = {}
    package = ""
    for line in files("polong.api").joinpath("protobuf_fields.txt").read_text(encoding="ascii").splitlines():
        if line.startswith("["):
            package = line.strip("[]") + "."
        elif line and not line.startswith("#"):
            name, _, words = line.partition(": ")
            table[package + name] = dict(_numbered(words.split(), package))
    return table


def _numbered(words: list[str], package: str) -> Iterator[tuple[int, _Field]]:
    number = 1
    for word in words:
        if word.startswith("="):
            number = int(word[1:])
            continue
        inline = package + word[1:] if word.startswith("*") else ""
        yield number, _Field(word.rstrip("?"), word.endswith("?"), inline)
        number += 1


def decode(data: bytes) -> Json:
    """The object in `data`, as JSON. 415 for kinds that the table does not have, BadRequest for what is no such message."""
    if not data.startswith(MAGIC):
        raise BadRequest("cannot decode the body: it does not begin with Kubernetes' protobuf prefix")
    envelope = dict(_fields(data[len(MAGIC) :]))
    meta = {number: _text(value) for number, value in _fields(_bytes(envelope.get(1, b"")))}
    api_version, kind = meta.get(1, ""), meta.get(2, "")
    if _text(envelope.get(3, b"")):
        raise status.unsupported_media("cannot decode the protobuf body: content encodings are not supported")
    schema = type_of(api_version, kind)
    if schema is None or schema.name not in _messages():
        raise status.unsupported_media(
            f"Polong does not decode {kind or 'this kind'} from application/vnd.kubernetes.protobuf: send application/json"
        )
    return {"apiVersion": api_version, "kind": kind} | _Reader().message(_bytes(envelope.get(2, b"")), schema, schema.name)


class _Reader:
    """One body: counts what it makes."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def message(self, data: bytes, schema: Type, message: str) -> Json:
        """One message as the JSON object that `schema` describes."""
        known = _messages().get(message, {})
        result: Json = {}
        for number, wire in _fields(data):
            self._left -= 1
            if self._left < 0:
                raise BadRequest(f"cannot decode the protobuf body: more than {MAX_VALUES} values")
            if (field := known.get(number)) is None:
                continue
            if field.inline:
                result |= self.message(_bytes(wire), schema, field.inline)
            elif (child := schema.field(field.name)) is None:
                # Left for the decoder of JSON to name as unknown: younger clients know more than this schema.
                result[field.name] = wire if isinstance(wire, int) else wire.decode("utf-8", "replace")
            else:
                self._put(result, field, wire, child)
        return result

    def _put(self, result: Json, field: _Field, wire: Wire, schema: Type) -> None:
        form = schema.kind
        if form == "array":
            element = schema.items()
            assert element is not None
            result.setdefault(field.name, []).extend(self._elements(wire, element))
        elif form == "map":
            element = schema.field("")
            assert element is not None
            parts = dict(_fields(_bytes(wire)))
            value = self._scalar_map(parts.get(2), element)
            result.setdefault(field.name, {})[_text(parts.get(1, b""))] = value
        else:
            value = self._value(wire, schema)
            if field.pointer or value not in ("", 0, False, None, {}):
                result[field.name] = value
            else:
                result.pop(field.name, None)

    def _elements(self, wire: Wire, element: Type) -> Iterator[Value]:
        if isinstance(wire, bytes) and element.kind in ("integer", "boolean"):
            at = 0
            while at < len(wire):
                number, at = _varint(wire, at)
                yield self._value(number, element)
        else:
            yield self._value(wire, element)

    def _scalar_map(self, wire: Wire | None, element: Type) -> Value:
        if element.kind == "array":  # a list in a map is a message of its own, with the list as its first field
            inner = element.items()
            assert inner is not None
            return [self._value(one, inner) for number, one in _fields(_bytes(wire or b"")) if number == 1]
        return self._value(wire if wire is not None else 0 if element.kind in ("integer", "boolean") else b"", element)

    def _value(self, wire: Wire, schema: Type) -> Value:
        if (special := _SPECIAL.get(schema.short_name)) is not None and schema.name:
            return special(_bytes(wire))
        form = schema.kind
        if form == "integer":
            return _signed(_number(wire))
        if form == "boolean":
            return bool(_number(wire))
        if form == "object":
            return self.message(_bytes(wire), schema, schema.name)
        if form == "string":
            return base64.b64encode(_bytes(wire)).decode() if schema.format == "byte" else _text(wire)
        if form == "any":
            return _json(dict(_fields(_bytes(wire))).get(1, b""))
        raise BadRequest(f"cannot decode the protobuf body: {form} has no form in protobuf")


# --- values with a form of their own -------------------------------------------------------------------------------------------


def _time(data: bytes, digits: int = 0) -> str | None:
    """Time and MicroTime are a Timestamp: seconds and nanoseconds; the zero moment is an empty message, JSON's null."""
    parts = dict(_fields(data))
    if not parts:
        return None
    seconds, nanos = _signed(_number(parts.get(1, 0))), _number(parts.get(2, 0))
    try:
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        raise BadRequest("cannot decode the protobuf body: a time is out of range") from None
    return moment.isoformat(timespec="microseconds" if digits else "seconds").replace("+00:00", "Z")


def _quantity(data: bytes) -> str:
    return _text(dict(_fields(data)).get(1, b"")) or "0"


def _int_or_string(data: bytes) -> int | str:
    parts = dict(_fields(data))
    return _text(parts.get(3, b"")) if _number(parts.get(1, 0)) == 1 else _signed(_number(parts.get(2, 0)))


_SPECIAL: Mapping[str, Callable[[bytes], Value]] = {
    "Time": _time,
    "MicroTime": lambda data: _time(data, 6),
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "FieldsV1": lambda data: _json(dict(_fields(data)).get(1, b"")),
    "RawExtension": lambda data: _json(dict(_fields(data)).get(1, b"")),
}


def _json(raw: Wire) -> Value:
    data = _bytes(raw)
    if not data:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise BadRequest("cannot decode the protobuf body: an embedded document is not JSON") from None


# --- the wire ------------------------------------------------------------------------------------------------------------------


def _bytes(wire: Wire) -> bytes:
    if not isinstance(wire, bytes):
        raise BadRequest(_WRONG)
    return wire


def _number(wire: Wire) -> int:
    if not isinstance(wire, int):
        raise BadRequest(_WRONG)
    return wire


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _text(wire: Wire) -> str:
    try:
        return _bytes(wire).decode()
    except UnicodeDecodeError:
        raise BadRequest("cannot decode the protobuf body: a string is not UTF-8") from None


def _fields(data: bytes) -> Iterator[tuple[int, Wire]]:
    """(number, value): integers for varints and fixed ones, bytes for the rest. BadRequest."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise BadRequest(f"cannot decode the protobuf body: wire type {wire}")
        if not number or length > end - at:
            raise BadRequest(_CUT)
        piece = data[at : at + length]
        yield number, piece if wire == 2 else int.from_bytes(piece, "little")
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
        shift += 7
    raise BadRequest(_CUT)
