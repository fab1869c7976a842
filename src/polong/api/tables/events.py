"""An Event as `kubectl get` shows it. Source: printers.go (printEvent)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from polong.api.tables.columns import NAME, Column, age

Json = dict[str, Any]


def _first_seen(event: Json) -> str | None:
    return event.get("firstTimestamp") or event.get("eventTime")


def _last_seen(event: Json) -> str | None:
    series = event.get("series") or {}
    return series.get("lastObservedTime") or event.get("lastTimestamp") or _first_seen(event)


def _count(event: Json) -> int:
    series = event.get("series") or {}
    return int(series.get("count") or event.get("count") or 1)


def _object(event: Json) -> str:
    involved = event.get("involvedObject") or {}
    kind = str(involved.get("kind", "")).lower()
    return f"{kind}/{involved['name']}" if involved.get("name") else kind


def _source(event: Json) -> str:
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent") or ""
    host = source.get("host") or ""
    return f"{component}, {host}" if host else str(component)


def _seen(moment: str | None, now: datetime) -> str:
    return age(moment, now)


COLUMNS = (
    Column("Last Seen", lambda event, now: _seen(_last_seen(event), now), description="When the event was seen last."),
    Column("Type", lambda event, _: str(event.get("type", "")), description="Normal or Warning."),
    Column("Reason", lambda event, _: str(event.get("reason", "")), description="Why, in one word for machines."),
    Column("Object", lambda event, _: _object(event), description="What the event is about."),
    Column(
        "Subobject",
        lambda event, _: str((event.get("involvedObject") or {}).get("fieldPath", "")),
        priority=1,
        description="Which part of it.",
    ),
    Column("Source", lambda event, _: _source(event), priority=1, description="Who reported it."),
    Column("Message", lambda event, _: str(event.get("message", "")).strip(), description="What happened, for people."),
    Column("First Seen", lambda event, now: _seen(_first_seen(event), now), priority=1, description="When the event was seen first."),
    Column("Count", lambda event, _: _count(event), type="integer", priority=1, description="How often it was seen."),
    Column(NAME.name, NAME.render, format="name", priority=1, description=NAME.description),
)
