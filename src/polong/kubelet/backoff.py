"""Exponential back-off as Kubernetes counts it: 10 s doubling to 300 s, forgotten after 10 quiet minutes. Pure.

Source: client-go util/flowcontrol/backoff.go; kubelet MaxContainerBackOff.
"""

from __future__ import annotations

from dataclasses import dataclass

INITIAL = 10.0
MAXIMUM = 300.0


@dataclass(frozen=True)
class Backoff:
    """`delay` seconds are to pass after the last failure; `updated` is when the delay last grew (seconds of any one clock)."""

    delay: float
    updated: float

    def expired(self, failure: float) -> bool:
        """The failure lies so long after the last step that the count starts again."""
        return failure - self.updated > 2 * MAXIMUM


@dataclass(frozen=True)
class Wait:
    """The container is started again at `until` (monotonic seconds); `delay` is the back-off that a user reads."""

    until: float
    delay: float


def wait_until(entry: Backoff | None, failure: float) -> float:
    """When the next try may happen after a failure at that moment; the moment itself where there is no back-off."""
    if entry is None or entry.expired(failure):
        return failure
    return failure + entry.delay


def step(entry: Backoff | None, failure: float, now: float) -> Backoff:
    """The back-off after one more try."""
    if entry is None or entry.expired(failure):
        return Backoff(INITIAL, now)
    return Backoff(min(entry.delay * 2, MAXIMUM), now)


def after(restarts: int) -> float:
    """The delay that stands after so many restarts in a row."""
    return float(min(INITIAL * 2 ** min(max(restarts - 1, 0), 10), MAXIMUM))
