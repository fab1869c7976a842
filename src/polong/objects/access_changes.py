"""The smallest change of a Pod that would allow, or forbid, what one container may do to another: each is tried on the rules. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from polong.objects.access import PLAIN, Kernel, Process, decide, started

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


@dataclass(frozen=True)
class Change:
    """Lines of YAML, each with its path below `spec`, and what the two processes are once they hold."""

    lines: tuple[str, ...]
    caller: Process
    target: Process


def smallest(action: str, names: tuple[str, str], caller: Process, target: Process, kernel: Kernel = PLAIN) -> list[str]:
    """Lines such as `containers[shell].securityContext.capabilities.add: [SYS_PTRACE]` that turn the verdict over, the fewest that do;
    [] where no change of the Pod does. `names`: of the caller's and the target's container ("" is the sandbox)."""
    now = decide(action, caller, target, kernel)
    wanted = not now.possible if not now.allowed else False
    if now.indirect:
        # Neither clearly yes nor no: what closes the gap is of more use than what widens it.
        wanted = False
    changes = _allowing(names, caller, target) if wanted else _forbidding(names, caller, target)
    for change in changes:
        then = decide(action, change.caller, change.target, kernel)
        if (then.allowed if wanted else not then.possible) and (change.caller, change.target) != (caller, target):
            return list(change.lines)
    return []


def _allowing(names: tuple[str, str], caller: Process, target: Process) -> Iterator[Change]:
    share = replace(caller, pid_namespaces=(_SHARED,)), replace(target, pid_namespaces=(_SHARED,))
    yield Change(("shareProcessNamespace: true",), *share)
    prefix: tuple[tuple[str, ...], Process, Process]
    for prefix in (((), caller, target), (("shareProcessNamespace: true",), *share)):
        lines, one, other = prefix
        for add in _ADD:
            yield Change((*lines, _added(names[0], add)), _as(one, one.uids[1], one.gids[1], one.bounding | set(add)), other)
        uid, gid = other.uids[1], other.gids[1]
        user = _user(names[0], uid)
        yield Change((*lines, user), _as(one, uid, one.gids[1], one.bounding), other)
        yield Change((*lines, user, _group(names[0], gid)), _as(one, uid, gid, one.bounding), other)
        root = (_user(names[0], 0),)
        yield Change((*lines, *root), _as(one, 0, one.gids[1], one.bounding), other)
        for add in _ADD:
            changed = _as(one, 0, one.gids[1], one.bounding | set(add))
            yield Change((*lines, *root, _added(names[0], add)), changed, other)


def _forbidding(names: tuple[str, str], caller: Process, target: Process) -> Iterator[Change]:
    uid, gid = caller.uids[1], caller.gids[1]
    for drop in _DROP:
        present = [name for name in drop if name in caller.bounding]
        if present:
            yield Change((_dropped(names[0], present),), _as(caller, uid, gid, caller.bounding - set(drop)), target)
    own = _OWN_USER if target.uids[1] != _OWN_USER else _OWN_USER + 1
    yield Change((_user(names[0], own),), _as(caller, own, gid, caller.bounding), target)
    yield Change((_dropped(names[0], ["ALL"]),), _as(caller, uid, gid, frozenset()), target)
    yield Change((_user(names[0], own), _dropped(names[0], ["ALL"])), _as(caller, own, gid, frozenset()), target)
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


def _field(container: str, field: str, value: object) -> str:
    return f"containers[{container}].securityContext.{field}: {value}"


def _added(container: str, names: Sequence[str]) -> str:
    return _field(container, "capabilities.add", f"[{', '.join(names)}]")


def _dropped(container: str, names: Sequence[str]) -> str:
    return _field(container, "capabilities.drop", f"[{', '.join(names)}]")


def _user(container: str, uid: int) -> str:
    return _field(container, "runAsUser", uid)


def _group(container: str, gid: int) -> str:
    return _field(container, "runAsGroup", gid)
