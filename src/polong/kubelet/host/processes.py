"""Every process of a Pod: whose it is, how it came, who it is. From cgroup membership and NSpid, never guessed.

Reading (`read`) is apart from telling (`classify`, pure). A pid counts only with its start time, read before and after everything
else; zombies, which no cgroup.procs lists, are found by the cgroup that the kernel still names for them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from polong.kit.errors import PolongError
from polong.linux import paths, proc
from polong.linux.cgroups import Cgroups
from polong.linux.fds import Fd

Json = dict[str, Any]

_PASSWD_BYTES = 1 << 20
_PASSWD_LINES = 10_000


@dataclass(frozen=True)
class Group:
    """A container, or the sandbox (`container` is "" then): its cgroup and the host PID of its main process (0: unknown)."""

    container: str
    id: str
    cgroup: str
    pid: int


@dataclass(frozen=True)
class Found:
    """One process as it was read. `namespace` is the inode of its PID namespace (0 where it could not be read)."""

    group: Group
    seen: proc.Snapshot
    namespace: int
    user: str = ""


@dataclass(frozen=True)
class Told:
    """A process and its place in the Pod. `role`: pause, main, exec, orphan, child; a zombie keeps its role."""

    found: Found
    role: str
    parent: Found | None
    zombie: bool


def classify(found: Sequence[Found]) -> list[Told]:
    """exec: its parent is no process of the Pod. orphan: its parent is gone, and whoever reaps orphans there took it: /pause, or (in
    the node's PID namespace) the supervisor that also holds the main process."""
    by_pid = {each.seen.stat.pid: each for each in found}
    pauses = {each.seen.stat.pid for each in found if not each.group.container}
    supervisors = {
        each.group.id: each.seen.stat.ppid
        for each in found
        if each.group.container and each.seen.stat.pid == each.group.pid and each.seen.stat.ppid
    }
    return [_tell(each, by_pid, pauses, supervisors) for each in found]


def _tell(each: Found, by_pid: Mapping[int, Found], pauses: set[int], supervisors: Mapping[str, int]) -> Told:
    stat = each.seen.stat
    parent = by_pid.get(stat.ppid)
    if not each.group.container:
        role = "pause"
    elif stat.pid == each.group.pid:
        role = "main"
    elif stat.ppid in pauses:
        role = "orphan"
    elif parent is not None:
        role = "child"
    else:
        role = "orphan" if stat.ppid and stat.ppid == supervisors.get(each.group.id) else "exec"
    return Told(each, role, parent, stat.state in "ZX")


@dataclass(frozen=True)
class Reader:
    """How processes are read; everything is injectable."""

    members: Callable[[str], Sequence[int]] = field(default_factory=lambda: Cgroups().processes)
    root: Path = proc.PROC
    ticks: int = os.sysconf("SC_CLK_TCK")

    def read(self, groups: Sequence[Group]) -> list[Found]:
        """Everything in the groups' cgroups now, in the order of the groups. Blocking: some milliseconds."""
        found: dict[int, Found] = {}
        for group in groups:
            users: dict[int, str] | None = None
            for pid in self._pids(group):
                seen = proc.snapshot(pid, self.root)
                if seen is None or pid in found or not _inside(seen, group):
                    continue
                if users is None:
                    users = self._users(group)
                found[pid] = Found(group, seen, self._namespace(pid), users.get(seen.status.uids[1], ""))
        for pid, group in self._zombies(groups, found):
            seen = proc.snapshot(pid, self.root)
            if seen is not None and seen.stat.state in "ZX":
                found[pid] = Found(group, seen, self._namespace_of(group, found))
        return list(found.values())

    def _pids(self, group: Group) -> Sequence[int]:
        if group.cgroup:
            return self.members(group.cgroup)
        return [group.pid] if group.pid else []

    def _zombies(self, groups: Sequence[Group], found: Mapping[int, Found]) -> list[tuple[int, Group]]:
        zombies = []
        for pid in proc.pids(self.root):
            try:
                if pid in found or proc.stat(pid, self.root).state not in "ZX":
                    continue
                held = proc.cgroups(pid, self.root).values()
            except (ProcessLookupError, ValueError, IndexError, OSError):
                continue
            zombies += [(pid, group) for group in groups if group.cgroup and any(_below(path, group.cgroup) for path in held)][:1]
        return zombies

    def _namespace(self, pid: int) -> int:
        try:
            return (self.root / str(pid) / "ns/pid").stat().st_ino
        except OSError:
            return 0

    def _namespace_of(self, group: Group, found: Mapping[int, Found]) -> int:
        """A zombie's own is closed already: that of its container's others."""
        return next((each.namespace for each in found.values() if each.group == group), 0)

    def _users(self, group: Group) -> dict[int, str]:
        """uid to name from that container's own passwd, read beneath its root: bounded, regular files only, no magic links."""
        try:
            start = proc.start_time(group.pid, self.root)
            with (
                Fd(os.open(self.root / str(group.pid) / "root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as fd,
                paths.Root(Fd(os.dup(fd.fileno()))) as top,
            ):
                if start is None or proc.start_time(group.pid, self.root) != start:
                    return {}
                return _accounts(top.read("/etc/passwd", _PASSWD_BYTES))
        except (OSError, PolongError):
            return {}

    def booted(self) -> float:
        """Seconds since the epoch."""
        for line in (self.root / "stat").read_text().splitlines():
            if line.startswith("btime "):
                return float(line.split()[1])
        return 0.0


def _inside(seen: proc.Snapshot, group: Group) -> bool:
    """It is (still) there: the pid was listed before the process behind it was known."""
    return not group.cgroup or any(_below(path, group.cgroup) for path in seen.cgroups.values())


def _below(path: str, cgroup: str) -> bool:
    path = path.removesuffix(" (deleted)")
    return path == cgroup or path.startswith(cgroup + "/")


def _accounts(data: bytes) -> dict[int, str]:
    """The first name of each number, as getpwuid(3) answers."""
    found: dict[int, str] = {}
    for line in data.decode("utf-8", "replace").split("\n")[:_PASSWD_LINES]:
        fields = line.split(":")
        if len(fields) >= 4 and fields[2].isascii() and fields[2].isdigit() and fields[0] and fields[0].isprintable():
            found.setdefault(int(fields[2]), fields[0])
    return found


def process_list(pod: Json, groups: Sequence[Group], reader: Reader) -> Json:
    """The `ProcessList` of polong.dev/v1alpha1 (fields: `api.ports.Node.processes`, and role, parentPID, gid, threads). Blocking."""
    told = classify(reader.read(groups))
    booted = reader.booted()
    return {
        "kind": "ProcessList",
        "apiVersion": "polong.dev/v1alpha1",
        "metadata": {key: pod["metadata"][key] for key in ("name", "namespace", "uid") if key in pod["metadata"]},
        "items": [_item(each, reader.ticks, booted) for each in told],
    }


def _item(told: Told, ticks: int, booted: float) -> Json:
    found, stat, status = told.found, told.found.seen.stat, told.found.seen.status
    started = datetime.fromtimestamp(booted + stat.start_time / ticks, UTC)
    parent = told.parent
    visible = parent is not None and parent.namespace == found.namespace
    return {
        "container": found.group.container,
        "containerID": found.group.id,
        "role": told.role,
        "pid": status.ns_pids[-1],
        "hostPID": stat.pid,
        "parentPID": parent.seen.status.ns_pids[-1] if parent is not None and visible else 0,
        "parentHostPID": stat.ppid if parent is not None else 0,
        "pidNamespace": str(found.namespace) if found.namespace else "",
        "uid": status.uids[1],
        "gid": status.gids[1],
        "user": found.user,
        "state": stat.state,
        "startTime": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cpuSeconds": round((stat.utime + stat.stime) / ticks, 2),
        "rssBytes": status.rss_kib * 1024,
        "threads": stat.threads,
        "name": _text(stat.comm),
        "command": [_text(each) for each in told.found.seen.command],
        "executed": told.role == "exec",
        "orphan": told.role == "orphan",
        "zombie": told.zombie,
    }


def _text(raw: str) -> str:
    """Bytes that are no UTF-8 cannot stand in JSON."""
    return raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
