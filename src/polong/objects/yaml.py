"""YAML as kubectl reads it: YAML 1.1 booleans and octals (`yes` is true, `0644` is 420), dates and `12:30:45` as strings.

Built on libyaml's events, without recursion: depth, size and aliases are bounded. Source: sigs.k8s.io/yaml over go-yaml v2 resolve.go.
"""

from __future__ import annotations

import base64
import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml as pyyaml

from polong.kit.errors import BadRequest

Value = Any

MAX_DEPTH = 200
_TOO_DEEP = f"exceeded max depth of {MAX_DEPTH}"
MAX_NODES = 500_000
MAX_BYTES = 16 * 1024 * 1024

_LOADER = getattr(pyyaml, "CSafeLoader", pyyaml.SafeLoader)
_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_NO_NUMBER = frozenset([sign + word for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")] + [".nan", ".NaN", ".NAN"])
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0[0-7]*|[1-9][0-9]*)")
_LONGEST_INTEGER = 70  # 64 binary digits, sign and prefix
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Document:
    """One document of a stream and the line (from 1) where it begins."""

    value: Value
    line: int


def resolve(text: str) -> Value:
    """What a plain scalar means."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text[0] not in "+-.0123456789":
        return text
    if text in _NO_NUMBER:
        return math.nan if text.lower() == ".nan" else math.inf
    plain = text.replace("_", "")
    if len(plain) <= _LONGEST_INTEGER and _INTEGER.fullmatch(plain):
        number = _integer(plain)
        if -(2**63) <= number < 2**64:
            return number
    if _FLOAT.fullmatch(plain) and math.isfinite(float(plain)):
        return _whole(float(plain))
    return text


def _integer(plain: str) -> int:
    digits = plain.lstrip("+-").lower()
    base = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2], 8 if digits.startswith("0") and len(digits) > 1 else 10)
    number = int(digits, base)
    return -number if plain.startswith("-") else number


def _whole(number: float) -> int | float:
    """JSON has one kind of number: 1e3 is 1000."""
    return int(number) if math.isfinite(number) and number.is_integer() and abs(number) < 1e21 else number


def _key(value: Value) -> str:
    """Keys of JSON are strings; kubectl's `n:` is "false"."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


@dataclass
class _Open:
    """A collection being built. `size` counts nodes with aliases written out."""

    value: dict[str, Value] | list[Value]
    line: int
    anchor: str | None
    size: int = 1
    key: Value = None
    has_key: bool = False
    merges: list[Value] = field(default_factory=list)
    explicit: set[str] = field(default_factory=set)


class _Builder:
    def __init__(self, source: str) -> None:
        self._source = source
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Value, int]] = {}
        self._root: Value = None
        self._total = 0

    def error(self, line: int, text: str) -> BadRequest:
        where = f"error parsing {self._source}: " if self._source else ""
        return BadRequest(f"{where}yaml: line {line}: {text}")

    def documents(self, text: str) -> list[Document]:
        found: list[Document] = []
        line = 1
        try:
            for event in pyyaml.parse(text, Loader=_LOADER):
                at = event.start_mark.line + 1 if event.start_mark is not None else line
                if isinstance(event, pyyaml.DocumentStartEvent):
                    self._root, line = None, at
                    self._anchors.clear()
                elif isinstance(event, pyyaml.DocumentEndEvent):
                    if self._root is not None:
                        found.append(Document(self._root, line))
                else:
                    self._event(event, at)
        except pyyaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            what = getattr(error, "problem", None) or str(error).splitlines()[0]
            # A libyaml that has a limit of its own (PyYAML since 6.0.4) may come to it first: it reads ahead.
            what = _TOO_DEEP if "nesting depth" in what else what
            raise self.error(mark.line + 1 if mark else line, what) from None
        return found

    def _event(self, event: pyyaml.Event, line: int) -> None:
        if isinstance(event, pyyaml.ScalarEvent):
            value, merge = self._scalar(event, line)
            if event.anchor:
                self._anchors[event.anchor] = (value, 1)
            self._add(value, 1, line, merge=merge)
        elif isinstance(event, pyyaml.AliasEvent):
            if any(one.anchor == event.anchor for one in self._stack):
                raise self.error(line, f"anchor '{event.anchor}' value contains itself")
            if event.anchor not in self._anchors:
                raise self.error(line, f"unknown anchor '{event.anchor}' referenced")
            value, size = self._anchors[event.anchor]
            self._add(value, size, line)
        elif isinstance(event, pyyaml.MappingStartEvent | pyyaml.SequenceStartEvent):
            if len(self._stack) >= MAX_DEPTH:
                raise self.error(line, _TOO_DEEP)
            self._stack.append(_Open({} if isinstance(event, pyyaml.MappingStartEvent) else [], line, event.anchor))
        elif isinstance(event, pyyaml.MappingEndEvent | pyyaml.SequenceEndEvent):
            self._close(line)

    def _scalar(self, event: pyyaml.ScalarEvent, line: int) -> tuple[Value, bool]:
        """The value, and whether it is a plain `<<`."""
        tag = (event.tag or "").removeprefix(_TAG)
        plain = event.style is None or event.style == ""
        if tag in ("", "!") and not plain:
            return event.value, False
        if tag in ("str", "!"):
            return event.value, False
        if tag == "binary":
            return self._binary(event.value, line), False
        if tag == "" and event.value == "<<":
            return "<<", True
        value = resolve(event.value)
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(line, f"unsupported value: {event.value}")
        return value, False

    def _binary(self, text: str, line: int) -> str:
        try:
            return base64.b64decode(text, validate=True).decode()
        except ValueError:
            raise self.error(line, "!!binary value contains invalid base64 data") from None

    def _close(self, line: int) -> None:
        done = self._stack.pop()
        if isinstance(done.value, dict):
            for merged in done.merges:
                for name, value in merged.items():
                    done.value.setdefault(name, value)
        if done.anchor:
            self._anchors[done.anchor] = (done.value, done.size)
        self._add(done.value, done.size, done.line)

    def _add(self, value: Value, size: int, line: int, *, merge: bool = False) -> None:
        if not self._stack:
            self._root = value
            return
        parent = self._stack[-1]
        parent.size += size
        self._total = max(self._total, parent.size)
        if self._total > MAX_NODES:
            raise self.error(line, "document contains excessive aliasing")
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif not parent.has_key:
            if isinstance(value, dict | list):
                raise self.error(line, "invalid map key: it is no scalar")
            parent.key, parent.has_key = (None if merge else _key(value)), True
        else:
            self._pair(parent, value, line)

    def _pair(self, parent: _Open, value: Value, line: int) -> None:
        assert isinstance(parent.value, dict)
        parent.has_key = False
        if parent.key is None:
            merged = value if isinstance(value, list) else [value]
            if not all(isinstance(one, dict) for one in merged):
                raise self.error(line, "map merge requires map or sequence of maps as the value")
            parent.merges += merged
            return
        if parent.key in parent.explicit:
            raise self.error(line, f'key "{parent.key}" already set in map')
        parent.explicit.add(parent.key)
        parent.value[parent.key] = value


def load_all(text: bytes | str, source: str = "") -> list[Document]:
    """Every document that is not empty. BadRequest with source and line for what is not YAML, and for duplicate keys."""
    if len(text) > MAX_BYTES:
        raise BadRequest(f"error parsing {source or 'YAML'}: more than {MAX_BYTES} bytes")
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        raise BadRequest(f"error parsing {source or 'YAML'}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    return _Builder(source).documents(decoded)


def load_one(text: bytes | str, source: str = "") -> Value:
    """The only document; BadRequest where there are more or none."""
    documents = load_all(text, source)
    if len(documents) != 1:
        raise BadRequest(f"error parsing {source or 'YAML'}: expected one document, found {len(documents)}")
    return documents[0].value
