"""What the whole machine uses. Source: proc(5), /proc/stat and /proc/meminfo."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_IDLE = (3, 4)
"""Fields of the line `cpu`: idle and iowait."""
_COUNTED = 8
"""Guest time is part of user time."""


@dataclass(frozen=True)
class Load:
    """`cpu` in nanoseconds used since boot, `memory` in bytes that are not available to a new program."""

    cpu: int
    memory: int


def read(proc: Path = Path("/proc")) -> Load:
    words = (proc / "stat").read_text().split("\n", 1)[0].split()[1 : 1 + _COUNTED]
    ticks = sum(int(word) for place, word in enumerate(words) if place not in _IDLE)
    sizes = {}
    for line in (proc / "meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("MemTotal", "MemAvailable"):
            sizes[name] = int(value.split()[0]) * 1024
    return Load(ticks * _PER_TICK, sizes["MemTotal"] - sizes["MemAvailable"])
