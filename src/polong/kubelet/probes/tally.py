"""Counting results until a threshold is reached. Pure. Source: kubelet prober/worker.go (doProbe)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Tally:
    """The last result and how often it came in a row."""

    successes: int
    failures: int
    last: bool | None = None
    run: int = 0

    def count(self, success: bool) -> bool | None:
        """What is established now; None while the threshold is not reached and what was established before still stands."""
        self.run = self.run + 1 if success == self.last else 1
        self.last = success
        return success if self.run >= (self.successes if success else self.failures) else None
