"""Validation errors about fields, in Kubernetes' words and with its causes. Source: apimachinery pkg/util/validation/field/errors.go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from polong.kit.errors import Cause


def _quote(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def required(path: str, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", _with("Required value", detail), path)


def invalid(path: str, value: object, detail: str) -> Cause:
    return Cause("FieldValueInvalid", _with(f"Invalid value: {_quote(value)}", detail), path)


def unsupported(path: str, value: object, supported: Sequence[str]) -> Cause:
    listed = ", ".join(_quote(one) for one in supported)
    return Cause("FieldValueNotSupported", f"Unsupported value: {_quote(value)}: supported values: {listed}", path)


def duplicate(path: str, value: object) -> Cause:
    return Cause("FieldValueDuplicate", f"Duplicate value: {_quote(value)}", path)


def forbidden(path: str, detail: str) -> Cause:
    return Cause("FieldValueForbidden", _with("Forbidden", detail), path)


def not_found(path: str, value: object) -> Cause:
    return Cause("FieldValueNotFound", f"Not found: {_quote(value)}", path)


def too_long(path: str, limit: int) -> Cause:
    return Cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", path)


def too_many(path: str, count: int, limit: int) -> Cause:
    return Cause("FieldValueTooMany", f"Too many: {count}: must have at most {limit} items", path)


def _with(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


def at(path: str, index: int) -> str:
    return f"{path}[{index}]"


def key(path: str, name: Any) -> str:  # noqa: ANN401 - map keys come from outside
    return f"{path}[{name}]"
