"""Memory and CPU time of an engine's own processes. A worker sees only its own PID namespace: whatever it finds in /proc is the engine's.

PSS counts each shared page once, divided among its users: the figure to add up. RSS is what `ps` shows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

# The Pod's own processes and the worker's: not the engine's cost.
_WORKLOAD = {"nginx", "sleep"}


def engine_pids(worker: Iterable[int]) -> list[int]:
    """Everything in this PID namespace but the workload and the `worker` processes."""
    own = set(worker)
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if pid not in own and _comm(pid) not in _WORKLOAD]


def pss(pids: Iterable[int]) -> int:
    """Bytes."""
    return sum(_rollup(pid, "Pss:") for pid in pids)


def rss(pids: Iterable[int]) -> int:
    """Bytes."""
    return sum(_rollup(pid, "Rss:") for pid in pids)


def cpu(pids: Iterable[int]) -> float:
    """Seconds of CPU time that they have taken; those that have ended count no more."""
    total = 0
    for pid in pids:
        try:
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(words[11]) + int(words[12])
    return total / os.sysconf("SC_CLK_TCK")


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _rollup(pid: int, field: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended, or is a kernel thread or a zombie: no memory of its own
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
