"""A host PID to the Pod that it belongs to: what the kernel says of the process, or (after an OOM kill) said in its log."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from polong.linux import kmsg, proc


@dataclass(frozen=True)
class Sighting:
    """A process of the host, alive or remembered by the kernel's log (`ended`). `cgroups` are paths of any hierarchy."""

    pid: int
    name: str
    command: tuple[str, ...]
    cgroups: tuple[str, ...]
    ended: str = ""


@dataclass(frozen=True)
class Owners:
    """Finds processes; everything is injectable."""

    root: Path = proc.PROC
    log: Callable[[], Sequence[str]] = field(default=kmsg.records)

    def sight(self, pid: int, hint: str = "", *, killed: bool = False) -> Sighting | None:
        """None where nothing is known of that number. `killed`: a line of the kernel's log says that it was; then the process is one that
        has ended, whoever has its number now. `hint` is the cgroup that such a line names. Blocking."""
        if hint or killed:
            victim = kmsg.oom_victim(pid, self.log())
            if hint:
                return Sighting(pid, victim[0] if victim and victim[1] == hint else "", (), (hint,), "OOMKilled")
            return Sighting(pid, victim[0], (), (victim[1],), "OOMKilled") if victim else None
        try:
            with proc.Handle(pid, self.root) as handle:
                stat = handle.stat()
                return Sighting(pid, stat.comm, handle.command(), tuple(dict.fromkeys(handle.cgroups().values())))
        except ProcessLookupError:
            victim = kmsg.oom_victim(pid, self.log())
        return Sighting(pid, victim[0], (), (victim[1],), "OOMKilled") if victim else None


def pod_of(cgroups: Sequence[str], parent: str) -> tuple[str, str] | None:
    """(UID of the Pod, the whole path) of a cgroup of this node. The kernel's log writes paths from the host's top, which may lie above
    ours: the node's own part is looked for anywhere in it."""
    mark = re.compile(re.escape(parent.rstrip("/")) + r"/kubepods(?:/(?:burstable|besteffort))?/pod([0-9A-Za-z-]+)(?:/|$)")
    for path in cgroups:
        if (match := mark.search(path)) is not None:
            return match[1], path
    return None
