"""Durations as kubectl reads (`1m30s`) and writes them (`5d4h`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import click

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


def parse(text: str) -> float:
    """Go's time.ParseDuration in seconds; a bare 0 is allowed, and a bare number counts seconds. ValueError."""
    sign = -1.0 if text.startswith("-") else 1.0
    body = text.lstrip("+-")
    if re.fullmatch(r"\d+", body):
        return sign * int(body)
    parts = _PART.findall(body)
    if not parts or "".join(number + unit for number, unit in parts) != body:
        raise ValueError(f"invalid duration {text!r}: use a number and a unit, such as 30s, 5m or 1h30m")
    return sign * sum(float(number) * _UNITS[unit] for number, unit in parts)


class Duration(click.ParamType[float]):
    """A click type around `parse`."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        try:
            return parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def human(seconds: float) -> str:
    """apimachinery's HumanDuration: two units where the first is small."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    for limit, render in _STEPS:
        if whole < limit:
            return render(whole)
    return f"{whole // _YEAR}y"


def _two(whole: int, big: int, small: int, names: str) -> str:
    rest = whole % big // small
    return f"{whole // big}{names[0]}" + (f"{rest}{names[1]}" if rest else "")


_STEPS: tuple[tuple[int, Callable[[int], str]], ...] = (
    (2 * _MINUTE, lambda s: f"{s}s"),
    (10 * _MINUTE, lambda s: _two(s, _MINUTE, 1, "ms")),
    (3 * _HOUR, lambda s: f"{s // _MINUTE}m"),
    (8 * _HOUR, lambda s: _two(s, _HOUR, _MINUTE, "hm")),
    (2 * _DAY, lambda s: f"{s // _HOUR}h"),
    (8 * _DAY, lambda s: _two(s, _DAY, _HOUR, "dh")),
    (2 * _YEAR, lambda s: f"{s // _DAY}d"),
    (8 * _YEAR, lambda s: _two(s, _YEAR, _DAY, "yd")),
)


def moment(text: str | None) -> datetime | None:
    """RFC 3339 to a moment, None where absent or malformed (data from outside)."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except ValueError:
        return None


def age(text: str | None, now: datetime) -> str:
    """How long ago; `<unknown>` where there is no time."""
    then = moment(text)
    return human((now - then).total_seconds()) if then else "<unknown>"


def rfc1123(text: str | None) -> str:
    """`Tue, 01 Jan 2026 10:00:00 +0000`, as describe prints times; empty where there is none. English whatever the locale."""
    then = moment(text)
    if then is None:
        return ""
    local = then.astimezone()
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[local.weekday()]
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[local.month - 1]
    return f"{day}, {local.day:02} {month} {local.year} {local:%H:%M:%S %z}"
