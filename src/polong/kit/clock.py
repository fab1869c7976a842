"""Time, injected so that tests never wait for it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for what users read, monotonic seconds for timers."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


_: type[Clock] = SystemClock


def rfc3339(moment: datetime) -> str:
    """`2026-01-02T03:04:05Z`: metav1.Time, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(moment: datetime) -> str:
    """`2026-01-02T03:04:05.000006Z`: metav1.MicroTime."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_nanoseconds(nanoseconds: int) -> datetime:
    """CRI's int64 nanoseconds since the epoch, to a UTC moment (microsecond resolution)."""
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def parse_rfc3339(text: str) -> datetime:
    """Parse metav1.Time or MicroTime; ValueError where it is neither."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without zone: {text!r}")
    return moment.astimezone(UTC)
