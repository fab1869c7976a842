"""What the kernel lets containers of a Pod do to each other's processes: credentials read here, judged by `objects.access`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from polong.kubelet.host.processes import Group
from polong.linux import apparmor, capabilities, proc
from polong.linux.cgroups import Cgroups
from polong.linux.dumpable import is_dumpable
from polong.linux.idmaps import IDENTITY, IdMap
from polong.objects import access, access_changes
from polong.objects.access import Kernel, Process

Json = dict[str, Any]

API_VERSION = "polong.dev/v1alpha1"
_JUDGED_CALLS = ("kill", "ptrace")
_ALLOWING = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")
_MOST_PROCESSES = 200
_PERFMON_SINCE = (6, 15)
# Beyond all ids: of one that the Pod does not have, so that it equals none of the Pod's.
_NOBODYS = 1 << 32
# Default profiles of runtimes (ours, containerd's, CRI-O's): each lets its processes reach those under the same profile alone.
_CLOSED_PROFILES = frozenset({"polong-default", "cri-containerd.apparmor.d", "crio-default"})
_NAMED_HIDEPID = {"off": 0, "noaccess": 1, "invisible": 2, "ptraceable": 4}


@dataclass(frozen=True)
class Member:
    """A container of the Pod that runs (`group.container` "" is the sandbox), and the calls that its seccomp filter refuses."""

    group: Group
    refused_calls: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Subject:
    """A process as a caller or a target. `pid` is its number inside its own namespace, `started` in ticks; `known`: whether
    it is dumpable could be told. `ids`: the maps of the Pod's user namespace; what is told of ids is told as the Pod counts them."""

    container: str
    pid: int
    command: tuple[str, ...]
    process: Process
    started: int = 0
    known: bool = True
    ids: tuple[IdMap, IdMap] = (IDENTITY, IDENTITY)

    def counted(self) -> Process:
        """As the Pod counts ids. Those of a namespace inside of the Pod's have a number there as well."""
        (uids, gids), process = self.ids, self.process
        return replace(
            process,
            uids=_inside(uids, process.uids),
            gids=_inside(gids, process.gids),
            groups=_inside(gids, process.groups),
            namespace_root=_inside(uids, (process.namespace_root,))[0],
        )


def _inside(ids: IdMap, numbers: tuple[int, ...]) -> Any:  # noqa: ANN401 - as many as were given
    found = [(number, ids.inside(number)) for number in numbers]
    return tuple(_NOBODYS + number if inside is None else inside for number, inside in found)


def refused_calls(config: Json) -> frozenset[str]:
    """Of kill and ptrace, what the seccomp filter of an OCI config.json does not let through whatever its arguments."""
    profile = (config.get("linux") or {}).get("seccomp")
    if not profile or profile.get("defaultAction") in _ALLOWING:
        rules = (profile or {}).get("syscalls") or []
        denied = [rule for rule in rules if rule.get("action") not in _ALLOWING and not rule.get("args")]
        return frozenset(call for rule in denied for call in _JUDGED_CALLS if call in rule.get("names", ()))
    allowed = {call for rule in profile.get("syscalls") or [] if rule.get("action") in _ALLOWING for call in rule.get("names", ())}
    return frozenset(call for call in _JUDGED_CALLS if call not in allowed)


@dataclass(frozen=True)
class AccessReader:
    """Reads credentials; everything is injectable."""

    members: Callable[[str], Sequence[int]] = field(default_factory=lambda: Cgroups().processes)
    root: Path = proc.PROC
    dumpable: Callable[[int, Path], bool | None] = is_dumpable

    def kernel(self) -> Kernel:
        try:
            yama = int((self.root / "sys/kernel/yama/ptrace_scope").read_text())
        except (OSError, ValueError):
            yama = 0
        release = re.match(r"(\d+)\.(\d+)", (self.root / "sys/kernel/osrelease").read_text())
        return Kernel(yama, release is not None and (int(release[1]), int(release[2])) >= _PERFMON_SINCE, _CLOSED_PROFILES)

    def subject(self, pid: int, member: Member, around: str = "") -> Subject | None:
        """None where it is gone, a zombie, or another process by now. `around`: PID namespace of its container's main process."""
        try:
            started = proc.stat(pid, self.root)
            if started.state in "ZX":
                return None
            status = proc.status(pid, self.root)
            found = Subject(
                member.group.container,
                status.ns_pids[-1],
                proc.command(pid, self.root) or (started.comm,),
                Process(
                    uids=status.uids,
                    gids=status.gids,
                    groups=status.groups,
                    permitted=frozenset(capabilities.names(status.cap_permitted)),
                    effective=frozenset(capabilities.names(status.cap_effective)),
                    bounding=frozenset(capabilities.names(status.cap_bounding)),
                    pid_namespaces=tuple(dict.fromkeys(each for each in (self._namespace(pid, "pid"), around, self._own("pid")) if each)),
                    user_namespace=self._namespace(pid, "user"),
                    holds_all_namespaces=self._namespace(pid, "user") == self._own("user"),
                    dumpable=(dumpable := self.dumpable(pid, self.root)) is not False,
                    namespace_root=self._namespace_root(pid),
                    hidepid=self._hidepid(pid),
                    refused_calls=member.refused_calls,
                    lsm=apparmor.label(pid, self.root),
                    pid=pid,
                ),
                started.start_time,
                # Where it could not be told (see is_dumpable), nobody has the target's ids: the kernel comes to no look at it.
                dumpable is not None or len({*status.uids[:3]}) > 1 or len({*status.gids[:3]}) > 1,
            )
            return found if proc.start_time(pid, self.root) == started.start_time else None
        except (ProcessLookupError, KeyError, ValueError, IndexError, OSError):
            return None

    def mains(self, members: Sequence[Member]) -> dict[str, tuple[Member, Subject]]:
        """Main processes by container, in the order given."""
        found = {}
        for member in members:
            subject = self.subject(member.group.pid, member) if member.group.pid else None
            if subject is not None:
                found[member.group.container] = (member, subject)
        return found

    def others(self, member: Member, main: Subject) -> Iterator[Subject]:
        """All processes of a container, the main one first."""
        yield main
        pids = self.members(member.group.cgroup) if member.group.cgroup else ()
        for pid in [pid for pid in sorted(pids) if pid != main.process.pid][:_MOST_PROCESSES]:
            found = self.subject(pid, member, main.process.pid_namespaces[0])
            if found is not None:
                yield found

    def ids(self, members: Sequence[Member]) -> tuple[IdMap, IdMap]:
        """The maps of the Pod's user namespace: those of whatever was there first, the sandbox."""
        for pid in [each.group.pid for each in members if each.group.pid]:
            try:
                return IdMap.read(pid, "uid_map", self.root), IdMap.read(pid, "gid_map", self.root)
            except (OSError, ValueError):
                continue
        return IDENTITY, IDENTITY

    def _namespace(self, pid: int, kind: str) -> str:
        return str((self.root / str(pid) / "ns" / kind).stat().st_ino)

    def _namespace_root(self, pid: int) -> int:
        try:
            ranges = IdMap.read(pid, "uid_map", self.root).ranges
        except (OSError, ValueError):
            return 0
        # Where it has no root, what is root's belongs to the node's (task_dump_owner).
        return next((base for first, base, _ in ranges if first == 0), 0)

    def _own(self, kind: str) -> str:
        """The node's."""
        return str((self.root / "self/ns" / kind).stat().st_ino)

    def _hidepid(self, pid: int) -> int:
        level = 0
        for line in (self.root / str(pid) / "mountinfo").read_text("utf-8", "surrogateescape").splitlines():
            before, _, after = line.partition(" - ")
            kind, _, options = after.partition(" ")
            if before.split()[4:5] == ["/proc"]:
                level = 0
                for option in options.split(" ")[-1].split(",") if kind == "proc" else ():
                    key, _, value = option.partition("=")
                    if key == "hidepid":
                        level = _NAMED_HIDEPID.get(value, int(value) if value.isdigit() else 0)
        return level


Trial = tuple[Member, Subject, list[Subject]]
"""A caller and its container, and the processes that it is judged against."""


def trials(members: Sequence[Member], reader: AccessReader, source: str = "", target: str = "") -> list[Trial]:
    """Main processes of containers (of `source`) as callers. Without `target` each container's main process stands for it; with it every
    process of that container is told. Blocking."""
    ids = reader.ids(members)
    mains = reader.mains(members)
    told = []
    for own, caller in [each for name, each in mains.items() if name and source in ("", name)]:
        seen: list[Subject] = []
        for name, (member, main) in mains.items():
            if target and name == target:
                seen += reader.others(member, main)
            elif not target and name != caller.container:
                seen.append(main)
        told.append((own, replace(caller, ids=ids), [replace(each, ids=ids) for each in seen]))
    return told


def pod_access(pod: Json, asked: Sequence[Trial], kernel: Kernel) -> Json:
    """The `PodAccess` of polong.dev/v1alpha1: `items` of {from, to, process, verdicts}; see `api.ports.Inspector.access`. Pure."""
    return {
        "kind": "PodAccess",
        "apiVersion": API_VERSION,
        "metadata": {key: pod["metadata"][key] for key in ("name", "namespace", "uid") if key in pod["metadata"]},
        "yamaPtraceScope": kernel.yama,
        "items": [
            item(access_changes.described(pod, caller.container), caller, each, kernel) for _, caller, seen in asked for each in seen
        ],
        "notes": [
            *(_confined(caller) for _, caller, _ in asked if caller.process.lsm not in {"", *kernel.closed_profiles}),
            *_unknown(asked),
        ],
    }


def _unknown(asked: Sequence[Trial]) -> list[str]:
    found = {each.process.pid: each for _, _, seen in asked for each in seen if not each.known}
    return [
        f"container {each.container}, PID {each.pid}: it cannot be told whether it is dumpable; it is taken for dumpable"
        " (--verify tries it)"
        for each in found.values()
    ]


def _confined(caller: Subject) -> str:
    return f"container {caller.container} is confined as {_text(caller.process.lsm)!r}, which may refuse more than is said here"


def item(container: access_changes.Container, caller: Subject, target: Subject, kernel: Kernel) -> Json:
    """`container` is the caller's, as the Pod describes it."""
    verdicts: Json = {}
    one, other = caller.counted(), target.counted()
    for action in access.ACTIONS:
        found = access.decide(action, one, other, kernel)
        change = access_changes.smallest(action, container, one, other, kernel)
        verdicts[action] = {"allowed": found.allowed, "rule": found.rule, "reason": found.reason, "indirect": found.indirect}
        verdicts[action] |= {"change": change} if caller.process.pid != target.process.pid else {}
    return {
        "from": caller.container,
        "to": target.container,
        "process": {
            "pid": target.pid,
            "hostPID": target.process.pid,
            "uid": other.uids[1],
            "gid": other.gids[1],
            "command": [_text(word) for word in target.command],
        },
        "verdicts": verdicts,
    }


def _text(raw: str) -> str:
    return raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
