"""JSON bodies to objects, as a Kubernetes API server decodes them: typed, strict where asked, pruned and without empty values.

Texts after apimachinery pkg/runtime/serializer/json and encoding/json (`json: cannot unmarshal …`).
"""

from __future__ import annotations

import base64
import json
import math
import re
import string
from dataclasses import dataclass, field
from typing import Any

from polong.kit.errors import BadRequest
from polong.objects import quantity
from polong.objects.schema import Type, type_of

Json = dict[str, Any]
Value = Any

MAX_DEPTH = 200
MAX_ITEMS = 10_000
"""Of one list: two bytes of a body can be an element that takes its validation a tenth of a millisecond."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its keys were given twice."""

    __slots__ = ("duplicates",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.duplicates: tuple[str, ...] = ()
        if len(self) != len(pairs):
            seen: set[str] = set()
            self.duplicates = tuple(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]


@dataclass
class Decoded:
    """`obj` is what the server keeps; `problems` what strict decoding would refuse: `unknown field "spec.foo"`."""

    obj: Json
    problems: list[str] = field(default_factory=list)


def parse_json(text: bytes | str) -> Value:
    """Any JSON document; objects remember duplicate keys. What is no Unicode becomes U+FFFD, as in Go. BadRequest in one line."""
    try:
        # json.loads would let bytes through that encode surrogates, and guess other encodings than JSON's.
        source = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        document = json.loads(source, object_pairs_hook=_Object, parse_constant=_no_constant)
        if source.count("[") + source.count("{") > MAX_DEPTH and _deeper(document, MAX_DEPTH):
            raise BadRequest(f"cannot parse JSON: exceeded max depth of {MAX_DEPTH}")
        return _without_surrogates(document) if _SURROGATE.search(source) else document
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"cannot parse JSON: {error}") from None


def _deeper(document: Value, depth: int) -> bool:
    level = [document]
    for _ in range(depth + 1):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _without_surrogates(node: Value) -> Value:
    """Escapes can name half of a pair, which no text can hold."""
    if isinstance(node, str):
        return node.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(node, list):
        return [_without_surrogates(item) for item in node]
    if isinstance(node, dict):
        clean = _Object([(_without_surrogates(name), _without_surrogates(value)) for name, value in node.items()])
        clean.duplicates = tuple(_without_surrogates(name) for name in getattr(node, "duplicates", ()))
        return clean
    return node


def duplicates(document: Value, path: str = "") -> list[str]:
    """Keys that a document from `parse_json` gives twice, as strict decoding names them: `duplicate field "spec.containers[0].image"`."""
    found: list[str] = []
    if isinstance(document, dict):
        found += [f'duplicate field "{f"{path}.{name}" if path else name}"' for name in getattr(document, "duplicates", ())]
        for name, value in document.items():
            found += duplicates(value, f"{path}.{name}" if path else name)
    elif isinstance(document, list):
        for index, item in enumerate(document):
            found += duplicates(item, f"{path}[{index}]")
    return found


def _no_constant(name: str) -> Value:
    raise ValueError(f"invalid character {name[0]!r} looking for beginning of value")


class _Walk:
    """One pass over a document along its type: copies what is known, notes what is not."""

    def __init__(self, api_version: str, kind: str) -> None:
        self._what = f'{kind} in version "{api_version.rpartition("/")[2]}" cannot be handled as a {kind}'
        self.problems: list[str] = []

    def wrong(self, got: str, where: str, wanted: str) -> BadRequest:
        return BadRequest(f"{self._what}: json: cannot unmarshal {got} into Go {where} of type {wanted}")

    def value(self, value: Value, kind: Type, path: str, owner: str, depth: int = 0) -> Value:
        """A pruned copy; None where the value counts as absent."""
        if depth > MAX_DEPTH:
            raise BadRequest(f"{self._what}: exceeded max depth")
        if value is None:
            return None
        form = kind.kind
        if form == "object":
            return self._struct(value, kind, path, owner, depth)
        if form == "array":
            return self._list(value, kind, path, owner, depth)
        if form == "map":
            return self._map(value, kind, path, owner, depth)
        return self._scalar(value, kind, path, owner)

    def _struct(self, value: Value, kind: Type, path: str, owner: str, depth: int) -> Json:
        if not isinstance(value, dict):
            raise self.wrong(_got(value), _where(owner, path), _go_type(kind))
        self._duplicates(value, path)
        result: Json = {}
        for name, child in value.items():
            child_kind = kind.field(name)
            child_path = f"{path}.{name}" if path else name
            if child_kind is None:
                self.problems.append(f'unknown field "{child_path}"')
                continue
            kept = self.value(child, child_kind, child_path, kind.short_name or owner, depth + 1)
            # Go's omitempty: empty strings, lists and maps are not there; empty structs and strings that are required are.
            if kept is not None and (not _is_empty(kept, child_kind) or (kept == "" and name in kind.required)):
                result[name] = kept
        return result

    def _list(self, value: Value, kind: Type, path: str, owner: str, depth: int) -> list[Value]:
        if not isinstance(value, list):
            raise self.wrong(_got(value), _where(owner, path), _go_type(kind))
        element = kind.items()
        if element is None:
            return list(value)
        if len(value) > MAX_ITEMS:
            raise BadRequest(f"{self._what}: {path}: Too many: {len(value)}: must have at most {MAX_ITEMS} items")
        result = []
        for index, item in enumerate(value):
            kept = self.value(item, element, f"{path}[{index}]", owner, depth + 1)
            result.append(_zero(element) if kept is None else kept)
        return result

    def _map(self, value: Value, kind: Type, path: str, owner: str, depth: int) -> Json:
        if not isinstance(value, dict):
            raise self.wrong(_got(value), _where(owner, path), _go_type(kind))
        self._duplicates(value, path)
        result: Json = {}
        for name, child in value.items():
            element = kind.field(name)
            if element is None:
                result[name] = child
                continue
            kept = self.value(child, element, f"{path}.{name}" if path else name, owner, depth + 1)
            result[name] = _zero(element) if kept is None else kept
        return result

    def _duplicates(self, value: Json, path: str) -> None:
        for name in getattr(value, "duplicates", ()):
            self.problems.append(f'duplicate field "{f"{path}.{name}" if path else name}"')

    def _scalar(self, value: Value, kind: Type, path: str, owner: str) -> Value:
        form = kind.kind
        if form == "any":
            return value
        if form == "string" and isinstance(value, str):
            return self._base64(value) if kind.format == "byte" else value
        if form == "boolean" and isinstance(value, bool):
            return value
        if form == "integer" and _is_integer(value):
            bits = 31 if kind.format == "int32" else 63
            if -(2**bits) <= value < 2**bits:
                return int(value)
            raise self.wrong(f"number {value}", _where(owner, path), _go_type(kind))
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if form == "number" and number:
            return value
        if form == "int-or-string" and (isinstance(value, str) or _is_integer(value)):
            return value
        if form == "quantity" and (isinstance(value, str) or number):
            return self._quantity(value if isinstance(value, str) else _number_text(value))
        raise self.wrong(_got(value), _where(owner, path), _go_type(kind))

    def _quantity(self, text: str) -> str:
        """As Kubernetes writes it back."""
        try:
            return quantity.canonical(text)
        except ValueError as error:
            raise BadRequest(f"{self._what}: {error}") from None

    def _base64(self, text: str) -> str:
        """Bytes as JSON has them, in the one form in which they are given back."""
        bare = text.replace("\r", "").replace("\n", "")
        try:
            return base64.b64encode(base64.b64decode(bare, validate=True)).decode()
        except ValueError:
            wrong = next((at for at, one in enumerate(text) if one not in _BASE64), len(bare) // 4 * 4)
            raise BadRequest(f"{self._what}: illegal base64 data at input byte {wrong}") from None


_BASE64 = frozenset(string.ascii_letters + string.digits + "+/=\r\n")


def _is_empty(value: Value, kind: Type) -> bool:
    return value in ("", []) and not isinstance(value, bool) if value != {} else kind.kind == "map"


def _is_integer(value: Value) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    )


def _number_text(value: Value) -> str:
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return str(int(value))
    return str(value)


def _zero(kind: Type) -> Value:
    """What JSON null is, as an element of a list or a map."""
    return {"string": "", "quantity": "0", "boolean": False, "integer": 0, "number": 0, "array": []}.get(kind.kind, {})


def _got(value: Value) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    return "string" if isinstance(value, str) else f"number {value}" if isinstance(value, float) else "number"


def _where(owner: str, path: str) -> str:
    bare = ".".join(part.partition("[")[0] for part in path.split("."))
    return f"struct field {owner}.{bare}" if bare else "value"


def _go_type(kind: Type) -> str:
    if kind.kind == "array":
        element = kind.items()
        return "[]" + (_go_type(element) if element else "interface {}")
    if kind.kind == "map":
        element = kind.field("")
        return "map[string]" + (_go_type(element) if element else "interface {}")
    if kind.kind == "object":
        package = kind.name.rpartition(".")[0].rpartition(".")[2]
        return f"{package}.{kind.short_name}" if package else "struct"
    named = {"boolean": "bool", "quantity": "resource.Quantity", "int-or-string": "intstr.IntOrString", "number": "float64"}
    if kind.kind == "integer":
        return kind.format or "int64"
    return named.get(kind.kind, kind.kind)


def decode_object(document: Value, api_version: str, kind: str) -> Decoded:
    """The document as an object of this kind: pruned of unknown fields, which are listed. BadRequest for wrong types."""
    if not isinstance(document, dict):
        raise BadRequest(f"cannot decode {kind}: the body must be a JSON object")
    given_version, given_kind = document.get("apiVersion") or api_version, document.get("kind") or kind
    if given_version != api_version:
        raise BadRequest(f"the API version in the data ({given_version}) does not match the expected API version ({api_version})")
    if given_kind != kind:
        raise BadRequest(f"the object provided is unrecognized (must be of type {kind}): it is a {given_kind}")
    schema = type_of(api_version, kind)
    walk = _Walk(api_version, kind)
    obj = dict(document) if schema is None else walk.value(document, schema, "", kind)
    obj["apiVersion"], obj["kind"] = api_version, kind
    obj.setdefault("metadata", {})
    return Decoded({"apiVersion": api_version, "kind": kind} | obj, walk.problems)
