"""Status conditions as a list of dicts: finding one, setting one without losing its transition time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]


def find(conditions: Sequence[Json] | None, kind: str) -> Json | None:
    return next((condition for condition in conditions or () if condition.get("type") == kind), None)


def is_true(conditions: Sequence[Json] | None, kind: str) -> bool:
    condition = find(conditions, kind)
    return condition is not None and condition.get("status") == "True"


def with_condition(conditions: Sequence[Json] | None, new: Json, now: str) -> list[Json]:
    """A copy with `new` in place of the condition of its type. lastTransitionTime is `now` (RFC 3339) only where `status` changed."""
    result = list(conditions or ())
    old = find(result, new["type"])
    merged = dict(new)
    if old is not None and old.get("status") == new.get("status") and "lastTransitionTime" in old:
        merged["lastTransitionTime"] = old["lastTransitionTime"]
    else:
        merged.setdefault("lastTransitionTime", now)
    if old is None:
        return [*result, merged]
    return [merged if condition is old else condition for condition in result]
