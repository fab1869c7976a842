"""Every process of a Pod: whose it is, how it came, who it is. From cgroup membership and NSpid, never guessed.

Reading (`read`) is apart from telling (`classify`, pure). A process is read through its own directory, so that all that is said of it is
of one process; the cgroup is listed again until nothing new was born, and what was listed and could not be read is told as vanished.
Zombies, which no cgroup.procs lists, are found by the cgroup that the kernel still names for them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from polong.kit.errors import PolongError
from polong.linux import paths, proc
from polong.linux.cgroups import Cgroups
from polong.linux.dumpable import is_dumpable

_PASSWD_BYTES = 1 << 20
_PASSWD_LINES = 10_000
# A Pod that forks without end must not keep its reader busy without end.
_LOOKS = 4


@dataclass(frozen=True)
class Group:
    """A container, or the sandbox (`container` is "" then): its cgroup and the host PID of its main process (0: unknown). `roles` says
    of processes that came by exec, by host PID, that they are the node's own: probe or hook."""

    container: str
    id: str
    cgroup: str
    pid: int
    roles: Mapping[int, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Details:
    """What is too costly for a long list. `dumpable` is None where it cannot be told (see `linux.dumpable`). `user_namespace` is an
    inode, sizes are bytes, None where there is none to be had."""

    status: proc.Status
    dumpable: bool | None
    user_namespace: int
    rollup: proc.Rollup | None
    open_files: int | None


class Found(NamedTuple):
    """One process as it was read. `namespace` is the inode of its PID namespace (0 where it could not be read); `inside` are its user and
    group as its container counts them."""

    group: Group
    stat: proc.Stat
    ids: proc.Ids
    command: tuple[str, ...]
    namespace: int
    user: str = ""
    details: Details | None = None
    inside: tuple[int, int] = (0, 0)


class Accounts(NamedTuple):
    """Names by number, as a container counts; and how it counts."""

    names: Mapping[int, str] = MappingProxyType({})
    uids: proc.IdMap = ()
    gids: proc.IdMap = ()


@dataclass(frozen=True)
class Gone:
    """Listed as a process of the group, and ended before it could be read."""

    group: Group
    pid: int


@dataclass(frozen=True)
class Look:
    """All that was found, in the order of the groups, and what vanished meanwhile."""

    found: list[Found]
    vanished: list[Gone]


class Told(NamedTuple):
    """A process and its place in the Pod. `role`: pause, main, exec, probe, hook, orphan, child; a zombie keeps its role."""

    found: Found
    role: str
    parent: Found | None
    zombie: bool


def classify(found: Sequence[Found]) -> list[Told]:
    """exec: its parent is no process of the Pod; probe and hook: such a one that the node itself started. orphan: its parent is gone, and
    whoever reaps orphans there took it: /pause, or (in the node's PID namespace) the supervisor that also holds the main process."""
    by_pid = {each.stat.pid: each for each in found}
    pauses = {each.stat.pid for each in found if not each.group.container}
    supervisors = {
        each.group.id: each.stat.ppid for each in found if each.group.container and each.stat.pid == each.group.pid and each.stat.ppid
    }
    return [_tell(each, by_pid, pauses, supervisors) for each in found]


def _tell(each: Found, by_pid: Mapping[int, Found], pauses: set[int], supervisors: Mapping[str, int]) -> Told:
    stat = each.stat
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
        adopted = stat.ppid and stat.ppid == supervisors.get(each.group.id)
        role = "orphan" if adopted else each.group.roles.get(stat.pid, "exec")
    return Told(each, role, parent, stat.state in "ZX")


@dataclass(frozen=True)
class Reader:
    """How processes are read; everything is injectable."""

    members: Callable[[str], Sequence[int]] = field(default_factory=lambda: Cgroups().processes)
    root: Path = proc.PROC
    ticks: int = os.sysconf("SC_CLK_TCK")
    page: int = os.sysconf("SC_PAGE_SIZE")
    dumpable: Callable[[int, Path], bool | None] = is_dumpable
    now: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)

    def read(self, groups: Sequence[Group], *, full: bool = False) -> Look:
        """Everything in the groups' cgroups now; with `full`, the details too. Blocking: about 0.1 ms a process, 0.8 with details."""
        found: dict[int, Found] = {}
        gone: dict[int, Gone] = {}
        users: dict[str, Accounts] = {}
        for group in groups:
            for pid, listed in self._members(group):
                if pid in found:
                    continue
                each = self._one(pid, group, listed, found, full=full)
                if each is None:
                    gone[pid] = Gone(group, pid)
                    continue
                if group.id not in users:
                    users[group.id] = self._users(group)
                found[pid] = _named(each, users[group.id])
        for dead in self._zombies(groups, found, full=full):
            found[dead.stat.pid] = _named(dead, users.get(dead.group.id, Accounts()))
        return Look(list(found.values()), [each for pid, each in gone.items() if pid not in found])

    def _members(self, group: Group) -> Iterator[tuple[int, int]]:
        """Its PIDs, each with when it was listed (ticks since boot); listed again after all were taken, until a look shows nothing new."""
        known: set[int] = set()
        for _ in range(_LOOKS):
            listed = int(self.now() * self.ticks)
            # Parents come before their children then, nearly always: what is known of them need not be read again.
            fresh = sorted(pid for pid in self._pids(group) if pid not in known)
            if not fresh:
                return
            known.update(fresh)
            yield from ((pid, listed) for pid in fresh)

    def _one(self, pid: int, group: Group, listed: int, found: Mapping[int, Found], *, full: bool) -> Found | None:
        """None where it has ended, or was never of the group: the number may have changed hands after it was listed. Who began before that
        and still has the number had it then; of who began later the kernel is asked."""
        try:
            with proc.Handle(pid, self.root) as handle:
                stat, ids, command = handle.glance()
                if group.cgroup and stat.start_time >= listed and not any(below(path, group.cgroup) for path in handle.cgroups().values()):
                    return None
                details = self._details(handle) if full else None
                # A child that has as many PIDs as its parent lives in the same namespace: one can only go further in.
                parent = found.get(stat.ppid)
                same = parent is not None and len(parent.ids.pids) == len(ids.pids)
                namespace = parent.namespace if parent is not None and same else handle.namespace("pid")
                return Found(group, stat, ids, command, namespace, "", details)
        except ProcessLookupError:
            return None

    def _pids(self, group: Group) -> Sequence[int]:
        if group.cgroup:
            return self.members(group.cgroup)
        return [group.pid] if group.pid else []

    def _details(self, handle: proc.Handle) -> Details:
        # By number, not through the handle: what follows raises where the number has changed hands meanwhile.
        dumpable = self.dumpable(handle.pid, self.root)
        return Details(handle.status(), dumpable, handle.namespace("user"), handle.rollup(), handle.open_files())

    def _zombies(self, groups: Sequence[Group], found: Mapping[int, Found], *, full: bool) -> list[Found]:
        """A zombie's own PID namespace is closed already: it is said to be in that of its container's others."""
        zombies = []
        for pid in proc.pids(self.root):
            if pid in found:
                continue
            try:
                # Nearly all are alive: they are asked no more than that.
                if proc.state(pid, self.root) not in "ZX":
                    continue
                with proc.Handle(pid, self.root) as handle:
                    stat = handle.stat()
                    if stat.state not in "ZX":
                        continue
                    held = handle.cgroups().values()
                    group = next((each for each in groups if each.cgroup and any(below(path, each.cgroup) for path in held)), None)
                    if group is not None and not _above(ids := handle.ids(), group, found):
                        namespace = next((each.namespace for each in found.values() if each.group == group), 0)
                        zombies.append(Found(group, stat, ids, (), namespace, "", self._details(handle) if full else None))
            except ProcessLookupError:
                continue
        return zombies

    def _users(self, group: Group) -> Accounts:
        """How that container counts its users, and how its own passwd calls them: read beneath its root, bounded, regular files only, no
        magic links."""
        try:
            with proc.Handle(group.pid, self.root) as handle:
                found = Accounts({}, handle.id_map("uid"), handle.id_map("gid"))
                with contextlib.suppress(OSError, PolongError), paths.Root(handle.root_directory()) as top:
                    return found._replace(names=_accounts(top.read("/etc/passwd", _PASSWD_BYTES)))
                return found
        except (OSError, PolongError):
            return Accounts()

    def booted(self) -> float:
        """Seconds since the epoch."""
        for line in (self.root / "stat").read_text().splitlines():
            if line.startswith("btime "):
                return float(line.split()[1])
        return 0.0


def _named(found: Found, users: Accounts) -> Found:
    group, stat, ids, command, namespace, _, details, _ = found
    uid, gid = proc.inside(ids.uid, users.uids), proc.inside(ids.gid, users.gids)
    return Found(group, stat, ids, command, namespace, users.names.get(uid, ""), details, (uid, gid))


def _above(ids: proc.Ids, group: Group, found: Mapping[int, Found]) -> bool:
    """Of a namespace above its container's: what the runtime left of itself while it made the container."""
    main = found.get(group.pid)
    return main is not None and len(ids.pids) < len(main.ids.pids)


def below(path: str, cgroup: str) -> bool:
    """`path`, as /proc/PID/cgroup writes it, is that cgroup or one inside it."""
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
