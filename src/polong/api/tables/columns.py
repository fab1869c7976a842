"""Columns of a Table and how a cell is made from an object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from polong.kit.clock import parse_rfc3339

Json = dict[str, Any]
Cell = str | int | bool

Render = Callable[[Json, datetime], Cell]


@dataclass(frozen=True)
class Column:
    """`priority` 0 is always shown, 1 in `-o wide`."""

    name: str
    render: Render
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def definition(self) -> Json:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def human_duration(seconds: float) -> str:
    """`5s`, `3m20s`, `5h`, `2d3h`, `400d`: as kubectl shows ages. Source: apimachinery pkg/util/duration HumanDuration."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    if total < 0:
        return "0s"
    if total < 120:
        return f"{total}s"
    return _minutes(total // 60, total)


def _minutes(minutes: int, total: int) -> str:
    if minutes < 10:
        return _pair(minutes, "m", total % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = total // 3600
    if hours < 8:
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 24 * 8:
        return _pair(hours // 24, "d", hours % 24, "h")
    if hours < 24 * 365 * 2:
        return f"{hours // 24}d"
    if hours < 24 * 365 * 8:
        return _pair(hours // 24 // 365, "y", hours // 24 % 365, "d")
    return f"{hours // 24 // 365}y"


def _pair(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def age(timestamp: str | None, now: datetime) -> str:
    """Time since an RFC 3339 moment; `<unknown>` where there is none."""
    if not timestamp:
        return "<unknown>"
    try:
        return human_duration((now - parse_rfc3339(timestamp)).total_seconds())
    except ValueError:
        return "<unknown>"


def format_labels(labels: Json | None) -> str:
    """`a=b,c=d`, or `<none>`."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


NAME = Column(
    "Name",
    lambda obj, _: str(obj["metadata"].get("name", "")),
    format="name",
    description="Name must be unique within a namespace.",
)
AGE = Column(
    "Age",
    lambda obj, now: age(obj["metadata"].get("creationTimestamp"), now),
    description="Time since the object was created.",
)
