"""The smallest change of a Pod that would allow, or forbid, what one container may do to another: each is tried on the rules. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from polong.objects import pod as pods
from polong.objects.access import PLAIN, Kernel, Process, decide, started
from polong.objects.sharing import DEFAULT_CAPABILITIES

Json = dict[str, Any]

# A user that no image of the Pod is likely to have.
_OWN_USER = 10_001
_ADD = (("SYS_PTRACE",), ("KILL",), ("DAC_READ_SEARCH",), ("DAC_READ_SEARCH", "SYS_PTRACE"))
_DROP = (
    ("KILL",),
    ("SYS_PTRACE",),
    ("SETUID",),
    ("KILL", "SETUID"),
    ("SETUID", "SYS_PTRACE"),
    ("SYS_ADMIN",),
    ("PERFMON",),
    ("DAC_OVERRIDE", "DAC_READ_SEARCH"),
)
_SHARED = "shared"
# What matches nobody: the group that a user gets who is named without one is the image's to say.
_UNKNOWN = -1


@dataclass(frozen=True)
class Container:
    """What the Pod says now of a container: `path` is where it stands below `spec`, `group` its runAsGroup, `non_root` runAsNonRoot,
    the Pod's where it has none of its own; `added` and `dropped` are capabilities."""

    path: str
    group: int | None = None
    non_root: bool = False
    privileged: bool = False
    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    def line(self, field: str, value: object) -> str:
        return f"{self.path}.securityContext.{field}: {value}"

    def capabilities(self, field: str, names: Iterable[str]) -> str:
        return self.line(f"capabilities.{field}", f"[{', '.join(dict.fromkeys(names))}]")


def described(pod: Json, name: str) -> Container:
    """Of a container of the Pod, of whatever kind; "" is the sandbox."""
    around = pods.spec(pod).get("securityContext") or {}
    for field, _, container in pods.all_containers(pod):
        if container.get("name") == name:
            own = container.get("securityContext") or {}
            group = own.get("runAsGroup", around.get("runAsGroup"))
            change = own.get("capabilities") or {}
            return Container(
                f"{field}[{name}]",
                group if isinstance(group, int) else None,
                bool(own.get("runAsNonRoot", around.get("runAsNonRoot"))),
                bool(own.get("privileged")),
                *(tuple(str(each).upper().removeprefix("CAP_") for each in change.get(way) or ()) for way in ("add", "drop")),
            )
    return Container(f"containers[{name}]")


@dataclass(frozen=True)
class Change:
    """Lines of YAML, each with its path below `spec`, and what the two processes are once they hold."""

    lines: tuple[str, ...]
    caller: Process
    target: Process


def smallest(action: str, container: Container, caller: Process, target: Process, kernel: Kernel = PLAIN) -> list[str]:
    """Lines such as `containers[shell].securityContext.capabilities.add: [SYS_PTRACE]` that turn the verdict over, the fewest that do;
    [] where no change of the Pod does. `container` is the caller's; a list is given whole, as it has to be then."""
    now = decide(action, caller, target, kernel)
    wanted = not now.possible if not now.allowed else False
    if now.indirect:
        # Neither clearly yes nor no: what closes the gap is of more use than what widens it.
        wanted = False
    changes = _allowing(container, caller, target) if wanted else _forbidding(container, caller, target)
    for change in changes:
        then = decide(action, change.caller, change.target, kernel)
        if (then.allowed if wanted else not then.possible) and (change.caller, change.target) != (caller, target):
            return list(change.lines)
    return []


def _allowing(container: Container, caller: Process, target: Process) -> Iterator[Change]:
    share = replace(caller, pid_namespaces=(_SHARED,)), replace(target, pid_namespaces=(_SHARED,))
    yield Change(("shareProcessNamespace: true",), *share)
    yield Change((container.line("appArmorProfile", "{type: Unconfined}"),), replace(caller, lsm=""), target)
    prefix: tuple[tuple[str, ...], Process, Process]
    for prefix in (((), caller, target), (("shareProcessNamespace: true",), *share)):
        yield from _with_another_user(container, *prefix)
        if caller.refused_calls:
            filtered = (*prefix[0], container.line("seccompProfile", "{type: RuntimeDefault}"))
            free = replace(prefix[1], refused_calls=frozenset())
            yield Change(filtered, free, prefix[2])
            yield from _with_another_user(container, filtered, free, prefix[2])


def _with_another_user(container: Container, lines: tuple[str, ...], one: Process, other: Process) -> Iterator[Change]:
    for add in _ADD:
        yield Change((*lines, _added(container, add)), _as(one, one.uids[1], one.gids[1], one.bounding | set(add)), other)
    uid, gid = other.uids[1], other.gids[1]
    user = _user(container, uid)
    yield Change((*lines, *user), _as(one, uid, _group_of(container, uid), one.bounding), other)
    yield Change((*lines, *user, container.line("runAsGroup", gid)), _as(one, uid, gid, one.bounding), other)
    root = _user(container, 0)
    yield Change((*lines, *root), _as(one, 0, _group_of(container, 0), one.bounding), other)
    for add in _ADD:
        changed = _as(one, 0, _group_of(container, 0), one.bounding | set(add))
        yield Change((*lines, *root, _added(container, add)), changed, other)


def _forbidding(container: Container, caller: Process, target: Process) -> Iterator[Change]:
    uid, gid = caller.uids[1], caller.gids[1]
    prefix: tuple[str, ...] = ()
    if container.privileged:
        # It has all capabilities, whatever it drops.
        prefix, container = (container.line("privileged", "false"),), replace(container, privileged=False)
        caller = _as(caller, uid, gid, (DEFAULT_CAPABILITIES | set(container.added)) - (set(container.dropped) - set(container.added)))
        yield Change(prefix, caller, target)
    for drop in _DROP:
        present = [name for name in drop if name in caller.bounding]
        if present:
            yield Change((*prefix, *_dropped(container, present)), _as(caller, uid, gid, caller.bounding - set(drop)), target)
    own = _OWN_USER if target.uids[1] != _OWN_USER else _OWN_USER + 1
    moved = _user(container, own)
    yield Change((*prefix, *moved), _as(caller, own, _group_of(container, own), caller.bounding), target)
    nothing = _dropped(container, ["ALL"])
    yield Change((*prefix, *nothing), _as(caller, uid, gid, frozenset()), target)
    yield Change((*prefix, *moved, *nothing), _as(caller, own, _group_of(container, own), frozenset()), target)
    apart = replace(caller, pid_namespaces=("caller",)), replace(target, pid_namespaces=("target",))
    yield Change(("shareProcessNamespace: false",), *apart)


def _as(process: Process, uid: int, gid: int, capabilities: frozenset[str]) -> Process:
    """The same container with another user and other capabilities."""
    fresh = started(uid, gid, frozenset(capabilities), process.groups)
    return replace(
        process,
        uids=fresh.uids,
        gids=fresh.gids,
        permitted=fresh.permitted,
        effective=fresh.effective,
        bounding=fresh.bounding,
    )


def _group_of(container: Container, uid: int) -> int:
    """Of a user that is named without a group."""
    if container.group is not None:
        return container.group
    return 0 if uid == 0 else _UNKNOWN


def _user(container: Container, uid: int) -> tuple[str, ...]:
    line = container.line("runAsUser", uid)
    # Refused at the start otherwise, as the node finds out.
    return (container.line("runAsNonRoot", "false"), line) if uid == 0 and container.non_root else (line,)


def _added(container: Container, names: Iterable[str]) -> str:
    return container.capabilities("add", (*container.added, *names))


def _dropped(container: Container, names: list[str]) -> tuple[str, ...]:
    """Out of `add` what stands there, where `add` wins, and into `drop` what the container has without being asked."""
    everything = names == ["ALL"]
    kept = [] if everything else [each for each in container.added if each not in names]
    lines = (container.capabilities("add", kept),) if len(kept) < len(container.added) else ()
    more = names if everything else [each for each in names if each in DEFAULT_CAPABILITIES or "ALL" in container.added]
    if not more or "ALL" in container.dropped:
        return lines
    return (*lines, container.capabilities("drop", ["ALL"] if everything else (*container.dropped, *more)))
