"""Label and field selectors: text to a predicate. Pure.

Grammar and error texts after apimachinery pkg/labels/selector.go and pkg/fields/selector.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from polong.objects.names import label_value_errors, qualified_name_errors


class SelectorError(ValueError):
    """The text is not a selector; the message is Kubernetes' own as far as it has one."""


@dataclass(frozen=True)
class Requirement:
    """One clause; `operator` is one of in, notin, exists, !, gt, lt (= and == are `in` with one value)."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        if self.operator == "in":
            return value is not None and value in self.values
        if self.operator == "notin":
            return value is None or value not in self.values
        if self.operator == "exists":
            return value is not None
        if self.operator == "!":
            return value is None
        try:
            number, bound = int(value or ""), int(next(iter(self.values)))
        except ValueError:
            return False
        return number > bound if self.operator == "gt" else number < bound


@dataclass(frozen=True)
class LabelSelector:
    requirements: tuple[Requirement, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        return all(requirement.matches(labels or {}) for requirement in self.requirements)


_TOKEN = re.compile(r"\s*(==|!=|=|!|\(|\)|,|>|<|[^\s=!(),<>]+)")


def _tokens(text: str) -> list[str]:
    found, position = [], 0
    stripped = text.rstrip()
    while position < len(stripped):
        match = _TOKEN.match(stripped, position)
        if match is None:
            raise SelectorError(f"unable to parse requirement: unexpected text at {stripped[position:]!r}")
        found.append(match.group(1))
        position = match.end()
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def parse(self) -> LabelSelector:
        requirements = []
        while self._peek():
            requirements.append(self._requirement())
            token = self._next()
            if token == ",":
                if not self._peek():
                    raise SelectorError("found '', expected: identifier after ','")
            elif token:
                raise SelectorError(f"found '{token}', expected: ',' or 'end of string'")
        return LabelSelector(tuple(requirements))

    def _requirement(self) -> Requirement:
        token = self._next()
        if token == "!":
            return Requirement(self._key(self._next()), "!")
        key = self._key(token)
        operator = self._peek()
        if operator in ("", ","):
            return Requirement(key, "exists")
        self._next()
        if operator in ("=", "=="):
            return Requirement(key, "in", frozenset({self._exact()}))
        if operator == "!=":
            return Requirement(key, "notin", frozenset({self._exact()}))
        if operator in ("in", "notin"):
            return Requirement(key, operator, self._set())
        if operator in (">", "<"):
            return self._bound(key, operator)
        raise SelectorError(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def _bound(self, key: str, operator: str) -> Requirement:
        bound = self._next()
        if not re.fullmatch(r"-?\d+", bound, re.ASCII):
            raise SelectorError(f"values[0][{key}]: Invalid value: {bound!r}: for 'Gt', 'Lt' operators, the value must be an integer")
        return Requirement(key, "gt" if operator == ">" else "lt", frozenset({bound}))

    def _key(self, text: str) -> str:
        if not text or text in "=!(),<>":
            raise SelectorError(f"found '{text}', expected: !, identifier, or 'end of string'")
        if errors := qualified_name_errors(text):
            raise SelectorError(f'key: Invalid value: "{text}": {"; ".join(errors)}')
        return text

    def _value(self, key_text: str) -> str:
        if errors := label_value_errors(key_text):
            raise SelectorError(f'values[0]: Invalid value: "{key_text}": {"; ".join(errors)}')
        return key_text

    def _exact(self) -> str:
        if self._peek() in ("", ","):
            return ""
        token = self._next()
        if token in ("(", ")", "=", "==", "!=", "!", ">", "<"):
            raise SelectorError(f"found '{token}', expected: identifier")
        return self._value(token)

    def _set(self) -> frozenset[str]:
        if self._next() != "(":
            raise SelectorError("expected '(' after in or notin")
        values: set[str] = set()
        pending = True
        while True:
            token = self._next()
            if token == ")":
                if pending:
                    values.add("")
                return frozenset(values)
            if token == ",":
                if pending:
                    values.add("")
                pending = True
            elif not token:
                raise SelectorError("found '', expected: ',' or ')'")
            else:
                values.add(self._value(token))
                pending = False


def parse_label_selector(text: str) -> LabelSelector:
    """`a=b,c in (d,e),!f`; empty selects all. SelectorError."""
    return _Parser(text).parse()


@dataclass(frozen=True)
class FieldSelector:
    """Clauses (field, equal?, value), all of which must hold."""

    clauses: tuple[tuple[str, bool, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.clauses)

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(field for field, _, _ in self.clauses)

    def matches(self, fields: Mapping[str, str]) -> bool:
        return all((fields.get(field, "") == value) is equal for field, equal, value in self.clauses)

    def exact(self, field: str) -> str:
        """The value that `field` must have; empty where it is not fixed."""
        return next((value for name, equal, value in self.clauses if name == field and equal), "")


def parse_field_selector(text: str) -> FieldSelector:
    """`metadata.name=x,status.phase!=Failed`, with `\\,` `\\=` `\\\\` escapes. SelectorError."""
    clauses = []
    for clause in re.split(r"(?<!\\),", text):
        if not clause.strip():
            continue
        match = re.fullmatch(r"\s*([^=!]+?)\s*(!=|==|=)(.*)", clause, re.DOTALL)
        if match is None:
            raise SelectorError(f"invalid selector: '{clause}'; can't understand '{clause}'")
        field, operator, value = match.groups()
        clauses.append((field, operator != "!=", re.sub(r"\\([\\,=])", r"\1", value)))
    return FieldSelector(tuple(clauses))
