"""JSON Merge Patch, RFC 7386. Pure."""

from __future__ import annotations

from typing import Any

Value = Any


def apply(target: Value, patch: Value) -> Value:
    """`target` with `patch` merged in; neither is changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = apply(result.get(name), value)
    return result
