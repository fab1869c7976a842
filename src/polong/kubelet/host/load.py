"""What the whole machine uses. Source: proc(5), /proc/stat and /proc/meminfo."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from polong.kubelet import pressure
from polong.kubelet.pressure import Level

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
    total, available = _memory(proc)
    return Load(ticks * _PER_TICK, total - available)


def _memory(proc: Path) -> tuple[int, int]:
    """All, and what a new program may have; bytes."""
    sizes = {}
    for line in (proc / "meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("MemTotal", "MemAvailable"):
            sizes[name] = int(value.split()[0]) * 1024
    return sizes["MemTotal"], sizes["MemAvailable"]


def levels(disk_of: Path, proc: Path = Path("/proc")) -> dict[str, Level]:
    """What is left of memory, of the disk that holds `disk_of`, and of process ids."""
    disk = os.statvfs(disk_of)
    most = min(int((proc / "sys/kernel" / name).read_text()) for name in ("pid_max", "threads-max"))
    tasks = int((proc / "loadavg").read_text().split()[3].partition("/")[2])
    found = {
        pressure.MEMORY: Level(*_memory(proc)),
        pressure.DISK: Level(disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize),
        pressure.PROCESSES: Level(most, most - tasks),
    }
    if disk.f_files:
        # Some file systems count no inodes.
        found[pressure.INODES] = Level(disk.f_files, disk.f_favail)
    return found
