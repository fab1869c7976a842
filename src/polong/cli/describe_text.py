"""Text of `describe`: lines at levels, tabs between cells, every value made safe for a terminal."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from polong.cli.durations import age
from polong.cli.escape import cell
from polong.cli.tabular import align

Json = dict[str, Any]

_ANNOTATION_WIDTH = 140
_HIDDEN_ANNOTATIONS = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})


class Text:
    """Collects lines; a tab inside a line separates cells, every other control character is escaped."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def line(self, level: int, text: str) -> None:
        self._lines.append("  " * level + "\t".join(cell(part) for part in text.split("\t")))

    def render(self) -> str:
        return align("\n".join(self._lines))


def value_or(value: object, absent: str) -> str:
    if value is None or value == "":
        return absent
    return str(value).lower() if isinstance(value, bool) else str(value)


def labels(text: Text, title: str, values: dict[str, str] | None) -> None:
    """`key=value`, one a line, sorted."""
    lines = [f"{key}={value}" for key, value in sorted((values or {}).items())] or ["<none>"]
    text.line(0, f"{title}:\t{lines[0]}")
    for line in lines[1:]:
        text.line(0, f"\t{line}")


def pairs(text: Text, title: str, values: dict[str, str] | None) -> None:
    """`key: value`, shortened as kubectl does; kubectl's own bookkeeping is left out."""
    shown = sorted((key, value) for key, value in (values or {}).items() if key not in _HIDDEN_ANNOTATIONS)
    lines = []
    for key, value in shown:
        joined = f"{key}: {' '.join(str(value).split())}"
        lines.append(joined if len(joined) <= _ANNOTATION_WIDTH else joined[: _ANNOTATION_WIDTH - 3] + "...")
    text.line(0, f"{title}:\t{lines[0] if lines else '<none>'}")
    for line in lines[1:]:
        text.line(0, f"\t{line}")


def last_seen(event: Json) -> str:
    series = event.get("series") or {}
    for value in (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"), event.get("firstTimestamp")):
        if value:
            return str(value)
    return str(event.get("metadata", {}).get("creationTimestamp") or "")


def interval(event: Json, now: datetime) -> str:
    """`5s`, or `5s (x3 over 1m)` where it happened more than once."""
    count = int((event.get("series") or {}).get("count") or event.get("count") or 1)
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = age(last_seen(event), now)
    return f"{last} (x{count} over {age(first, now)})" if count > 1 else last


def source(event: Json) -> str:
    component = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
    host = (event.get("source") or {}).get("host")
    return f"{component}, {host}" if host and component != "kubelet" else str(component)


def events(text: Text, items: list[Json], now: datetime) -> None:
    if not items:
        text.line(0, "Events:\t<none>")
        return
    text.line(0, "Events:")
    text.line(1, "Type\tReason\tAge\tFrom\tMessage")
    text.line(1, "----\t------\t----\t----\t-------")
    for event in sorted(items, key=last_seen):
        message = str(event.get("message", "")).strip()
        text.line(1, f"{event.get('type', '')}\t{event.get('reason', '')}\t{interval(event, now)}\t{source(event)}\t{message}")
