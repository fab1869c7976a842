"""What crosses the seam to the CRI service."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Supervised:
    """A created container: host PIDs of its conmon and of its main process."""

    conmon_pid: int
    pid: int
