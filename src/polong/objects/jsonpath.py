"""kubectl's JSONPath templates: text with `{.path}`, `{range}…{end}`, filters, unions, slices and `..`. Pure.

Source: client-go util/jsonpath and kubectl's documentation. It is no RFC 9535: `$` and `@` both are the current object, what is missing
prints nothing.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Value = Any

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
_OPERATORS = ("==", "!=", "<=", ">=", "<", ">")
_ENDS = frozenset(" \t\r\n.,[]${}@()=!<>")


class JsonPathError(ValueError):
    """The template is wrong, or does not fit the object; the text is one line."""


# --- the parsed form ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Field:
    """`.name`; the empty name and `*` are all."""

    name: str


@dataclass(frozen=True)
class Every:
    """`.*`, `[*]`."""


@dataclass(frozen=True)
class Descend:
    """`..`: the value and everything in it."""


@dataclass(frozen=True)
class Slice:
    """`[n]` where `single`, else `[start:stop:step]`."""

    start: int | None
    stop: int | None = None
    step: int = 1
    single: bool = False


@dataclass(frozen=True)
class Union:
    """`['a','b']`, `[0,2]`."""

    members: tuple[Field | Slice, ...]


@dataclass(frozen=True)
class Filter:
    """`[?(@.a == "b")]`; without operator: where `left` has a value."""

    left: Path | Literal
    operator: str = ""
    right: Path | Literal | None = None


Step = Field | Every | Descend | Slice | Union | Filter


@dataclass(frozen=True)
class Path:
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Literal:
    """A quoted string, number or boolean; in a template: text."""

    value: Value


@dataclass(frozen=True)
class Range:
    path: Path
    body: tuple[Node, ...]


Node = Literal | Path | Range


# --- parsing ------------------------------------------------------------------------------------------------------------------


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def template(self) -> tuple[Node, ...]:
        nodes = self._nodes(inside_range=False)
        return tuple(nodes)

    def _nodes(self, *, inside_range: bool) -> list[Node]:
        nodes: list[Node] = []
        while self._at < len(self._text):
            opening = self._text.find("{", self._at)
            if opening != self._at:
                end = len(self._text) if opening < 0 else opening
                nodes.append(Literal(self._text[self._at : end]))
                self._at = end
                continue
            self._at += 1
            if self._action(nodes):
                if not inside_range:
                    raise JsonPathError("not in range, nothing to end")
                return nodes
        if inside_range:
            raise JsonPathError("unclosed range: {end} is missing")
        return nodes

    def _action(self, nodes: list[Node]) -> bool:
        """The content of one pair of braces; True for {end}."""
        while True:
            self._spaces()
            if self._take("}"):
                return False
            if self._at >= len(self._text):
                raise JsonPathError("unclosed action")
            if self._word("end"):
                self._close()
                return True
            if self._word("range"):
                self._spaces()
                path = self._path()
                self._close()
                nodes.append(Range(path, tuple(self._nodes(inside_range=True))))
                return False
            nodes.append(self._operand())

    def _word(self, word: str) -> bool:
        after = self._at + len(word)
        if self._text.startswith(word, self._at) and self._text[after : after + 1] in ("}", " ", "\t", "\n", ""):
            self._at = after
            return True
        return False

    def _close(self) -> None:
        self._spaces()
        if not self._take("}"):
            raise JsonPathError(f"unexpected text {self._text[self._at : self._at + 20]!r} in action: expected }}")

    def _operand(self) -> Path | Literal:
        character = self._peek()
        if character in "\"'":
            return Literal(self._quoted())
        if number := _NUMBER.match(self._text, self._at):
            self._at = number.end()
            return Literal(float(number.group()) if number.group(1) else int(number.group()))
        for word, value in (("true", True), ("false", False)):
            if self._text.startswith(word, self._at) and self._text[self._at + len(word) : self._at + len(word) + 1] in " )}":
                self._at += len(word)
                return Literal(value)
        return self._path()

    def _path(self) -> Path:
        steps: list[Step] = []
        start = self._at
        while self._at < len(self._text):
            if self._take("$") or self._take("@"):
                continue
            if self._take(".."):
                steps.append(Descend())
                if self._peek() not in ("[", "*") and self._peek() not in _ENDS:
                    steps.append(Field(self._name()))
                elif self._take("*"):
                    steps.append(Every())
            elif self._take("."):
                if self._take("*"):
                    steps.append(Every())
                elif self._peek() not in ("[", "", "}", " ", ")"):
                    steps.append(Field(self._name()))
            elif self._peek() == "[":
                steps.append(self._bracket())
            else:
                break
        if self._at == start:
            raise JsonPathError(f"unrecognized character in action: {self._peek()!r}")
        return Path(tuple(steps))

    def _name(self) -> str:
        name = []
        while self._at < len(self._text) and self._text[self._at] not in _ENDS:
            if self._text[self._at] == "\\":
                self._at += 1
            name.append(self._text[self._at : self._at + 1])
            self._at += 1
        if not name:
            raise JsonPathError("invalid path: a name is missing after '.'")
        return "".join(name)

    def _bracket(self) -> Step:
        self._at += 1
        self._spaces()
        if self._take("?("):
            found: Step = self._filter()
        elif self._take("*"):
            found = Every()
        else:
            members = [self._member()]
            self._spaces()
            while self._take(","):
                self._spaces()
                members.append(self._member())
                self._spaces()
            found = members[0] if len(members) == 1 else Union(tuple(members))
        self._spaces()
        if not self._take("]"):
            raise JsonPathError("unterminated array: ] is missing")
        return found

    def _member(self) -> Field | Slice:
        if self._peek() in ("'", '"'):
            return Field(self._quoted())
        match = re.compile(r"(-?\d*)(:)?(-?\d*)(?::(-?\d*))?").match(self._text, self._at)
        if match is None or not match.group() or "-" in match.groups():
            raise JsonPathError(f"invalid array index {self._text[self._at : self._at + 20]!r}")
        self._at = match.end()
        start, colon, stop, step = match.groups()
        if not colon:
            return Slice(int(start), single=True)
        if step == "0":
            raise JsonPathError("step of a slice must not be 0")
        return Slice(int(start) if start else None, int(stop) if stop else None, int(step) if step else 1)

    def _filter(self) -> Filter:
        self._spaces()
        left = self._operand()
        self._spaces()
        operator = next((one for one in _OPERATORS if self._text.startswith(one, self._at)), "")
        right = None
        if operator:
            self._at += len(operator)
            self._spaces()
            right = self._operand()
            self._spaces()
        if not self._take(")"):
            raise JsonPathError("unterminated filter: ) is missing, or the operator is not one of == != < <= > >=")
        return Filter(left, operator, right)

    def _quoted(self) -> str:
        quote = self._text[self._at]
        self._at += 1
        out: list[str] = []
        while self._at < len(self._text):
            character = self._text[self._at]
            self._at += 1
            if character == quote:
                return "".join(out)
            if character == "\\":
                escaped = self._text[self._at : self._at + 1]
                self._at += 1
                out.append({"n": "\n", "t": "\t", "r": "\r"}.get(escaped, escaped))
            else:
                out.append(character)
        raise JsonPathError("unterminated quoted string")

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        if self._text.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def _spaces(self) -> None:
        while self._peek() in (" ", "\t", "\n", "\r"):
            self._at += 1


@functools.lru_cache(maxsize=64)
def parse(template: str) -> tuple[Node, ...]:
    """Text and actions of a template. JsonPathError."""
    return _Parser(template).template()


# --- evaluation ---------------------------------------------------------------------------------------------------------------


def _find(path: Path, value: Value) -> list[Value]:
    values = [value]
    for step in path.steps:
        values = [found for one in values for found in _step(step, one)]
    return values


def _step(step: Step, value: Value) -> Iterator[Value]:
    if isinstance(step, Field):
        if isinstance(value, dict) and step.name in value:
            yield value[step.name]
    elif isinstance(step, Every):
        yield from value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    elif isinstance(step, Descend):
        yield from _descend(value)
    elif isinstance(step, Slice):
        yield from _slice(step, value)
    elif isinstance(step, Union):
        for member in step.members:
            yield from _step(member, value)
    else:
        candidates = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
        yield from (one for one in candidates if _holds(step, one))


def _descend(value: Value) -> Iterator[Value]:
    if isinstance(value, dict | list):
        yield value
        for child in value.values() if isinstance(value, dict) else value:
            yield from _descend(child)


def _slice(step: Slice, value: Value) -> Iterator[Value]:
    if value is None:
        return
    if not isinstance(value, list):
        raise JsonPathError(f"{_text(value)[:40]} is not array or slice")
    if not step.single:
        yield from value[step.start : step.stop : step.step]
        return
    assert step.start is not None
    if not -len(value) <= step.start < len(value):
        raise JsonPathError(f"array index out of bounds: index {step.start}, length {len(value)}")
    yield value[step.start]


def _holds(step: Filter, value: Value) -> bool:
    left = _operand(step.left, value)
    if not step.operator:
        return bool(left)
    assert step.right is not None
    right = _operand(step.right, value)
    if not left or not right:
        return False
    if len(left) > 1 or len(right) > 1:
        raise JsonPathError("can only compare one element at a time")
    return _compare(left[0], step.operator, right[0])


def _operand(operand: Path | Literal, value: Value) -> Sequence[Value]:
    return [operand.value] if isinstance(operand, Literal) else _find(operand, value)


def _compare(left: Value, operator: str, right: Value) -> bool:
    if isinstance(left, str) is not isinstance(right, str):
        raise JsonPathError(f"incompatible types for comparison: {_text(left)[:20]} {operator} {_text(right)[:20]}")
    if operator == "==":
        return type(left) is type(right) and left == right if isinstance(left, bool) or isinstance(right, bool) else bool(left == right)
    if operator == "!=":
        return not _compare(left, "==", right)
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if not numbers and not (isinstance(left, str) and isinstance(right, str)):
        raise JsonPathError(f"incompatible types for comparison: {_text(left)[:20]} {operator} {_text(right)[:20]}")
    compared = {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}
    return bool(compared[operator])


def _text(value: Value) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, dict | list):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _render(nodes: Sequence[Node], value: Value) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Literal):
            yield _text(node.value)
        elif isinstance(node, Range):
            for item in _find(node.path, value):
                yield from _render(node.body, item)
        else:
            yield " ".join(_text(found) for found in _find(node, value))


def render(template: str, obj: Value) -> str:
    """The template's text for `obj`. JsonPathError."""
    return "".join(_render(parse(template), obj))


def values(template: str, obj: Value) -> Iterator[Value]:
    """What the template's paths find in `obj`, in order; text around them is left out. JsonPathError."""

    def walk(nodes: Sequence[Node], value: Value) -> Iterator[Value]:
        for node in nodes:
            if isinstance(node, Range):
                for item in _find(node.path, value):
                    yield from walk(node.body, item)
            elif isinstance(node, Path):
                yield from _find(node, value)

    yield from walk(parse(template), obj)
