"""Verdicts of `objects.access` tried in earnest: by `attempt` (csrc/attempt.c) inside of a container, with the rights that its main
process has now. The processes that it is tried on are held by pidfds, and not touched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polong.criapi.ports import Programs
from polong.criapi.wire import v1
from polong.kit.errors import PolongError
from polong.kubelet.host.access import Subject, Trial
from polong.linux import capabilities, proc
from polong.linux.idmaps import IdMap
from polong.linux.pidfd import PidFd
from polong.objects.access import ACTIONS, Process

Json = dict[str, Any]

MOST = 240
"""Targets of one trial: each is a descriptor of a process that may have few."""

_LETTERS = {"1": True, "0": False, "?": None}
_WORD = 0xFFFFFFFF
_SECONDS = 10


@dataclass(frozen=True)
class Findings:
    """Of one target: what each action came to (None: it could not be tried), and the same as the target's user ({}: not tried)."""

    direct: dict[str, bool | None] = field(default_factory=dict)
    indirect: dict[str, bool | None] = field(default_factory=dict)
    ended: bool = False


@contextmanager
def held(targets: Sequence[Subject], root: Path = proc.PROC) -> Iterator[list[tuple[Subject, PidFd]]]:
    """Those that are still what they were when they were read, each with a pidfd."""
    handles: list[tuple[Subject, PidFd]] = []
    try:
        for each in targets[:MOST]:
            try:
                handle = PidFd.open(each.process.pid)
            except ProcessLookupError:
                continue
            handles.append((each, handle))
        yield [(each, handle) for each, handle in handles if proc.start_time(each.process.pid, root) == each.started]
    finally:
        for _, handle in handles:
            handle.close()


def arguments(caller: Subject, targets: Sequence[Subject], root: Path = proc.PROC) -> list[str] | None:
    """Of `attempt`, ids as they are inside of the caller's user namespace. None where the caller has gone, or has ids that none are."""
    try:
        uids, gids = IdMap.read(caller.process.pid, "uid_map", root), IdMap.read(caller.process.pid, "gid_map", root)
    except OSError:
        return None
    process = caller.process
    lists = [
        [uids.inside(each) for each in process.uids[:3]],
        [gids.inside(each) for each in process.gids[:3]],
        [gids.inside(each) for each in process.groups],
    ]
    if any(number is None for numbers in lists for number in numbers):
        return None
    words = [",".join(map(str, numbers)) for numbers in lists]
    return [*words, _bits(process.permitted), _bits(process.effective), *(_become(each.process, uids, gids) for each in targets)]


def _bits(names: frozenset[str]) -> str:
    bits = capabilities.bits(names)
    return f"{bits & _WORD:x},{bits >> 32:x}"


def _become(target: Process, uids: IdMap, gids: IdMap) -> str:
    uid, gid = uids.inside(target.uids[1]), gids.inside(target.gids[1])
    return "-" if uid is None or gid is None else f"{uid}:{gid}"


def parse(text: str, count: int) -> list[Findings] | None:
    """The answer of `attempt` about `count` targets; None where it is none."""
    found = []
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) != 3 or len(words[1]) != len(ACTIONS) or not set(words[1] + words[2]) <= {*_LETTERS, "-"}:
            return None
        indirect = {} if words[2] == "-" else dict(zip(ACTIONS, (_LETTERS[each] for each in words[2]), strict=True))
        direct = dict(zip(ACTIONS, (_LETTERS[each] for each in words[1]), strict=True))
        found.append(Findings(direct, indirect, words[0] == "-1"))
    return found if len(found) == count else None


async def attempt(trial: Trial, items: Sequence[Json], programs: Programs, root: Path = proc.PROC) -> str:
    """Try it, and put what came of it into the `items` of that caller; a note where nothing did."""
    member, caller, seen = trial
    by_pid = {each["process"]["hostPID"]: each for each in items}
    for each in items:
        compare(each, Findings())
    # What a process may do to itself cannot be tried by another.
    others = [each for each in seen if each.process.pid != caller.process.pid]
    nothing = f"container {caller.container}: nothing was tried: "
    with held(others, root) as targets:
        words = arguments(caller, [each for each, _ in targets], root)
        if words is None:
            return f"{nothing}its main process has ended, or has ids that its user namespace does not have"
        request = v1.ExecSyncRequest(container_id=member.group.id, cmd=words, timeout=_SECONDS)
        try:
            said = await programs.exec_program(request, "attempt", [handle.fileno() for _, handle in targets])
        except PolongError as error:
            return f"{nothing}{error.message}"
        found = parse(said.stdout.decode("ascii", "replace"), len(targets)) if said.exit_code == 0 else None
        if found is None:
            return nothing + (said.stderr.decode("utf-8", "replace").strip()[:200] or f"exit code {said.exit_code}")
        for (subject, handle), findings in zip(targets, found, strict=True):
            if not handle.ended():
                compare(by_pid[subject.process.pid], findings)
    return "" if len(seen) <= MOST else f"container {caller.container}: tried on {MOST} of {len(seen)} processes"


def compare(item: Json, findings: Findings) -> None:
    """Put into each verdict what the trial came to: `tried` (null: it could not be tried), and for those with a way around
    `triedIndirect`."""
    for action, verdict in item["verdicts"].items():
        verdict["tried"] = findings.direct.get(action)
        if verdict["indirect"]:
            verdict["triedIndirect"] = findings.indirect.get(action)


def summary(items: Sequence[Json]) -> Json:
    """{tried, equal, different: [{from, to, pid, action, computed, tried}]}."""
    tried = 0
    different = []
    for item in items:
        for action, verdict in item["verdicts"].items():
            pairs = [(verdict["allowed"], verdict.get("tried"), "")]
            if verdict["indirect"]:
                pairs.append((True, verdict.get("triedIndirect"), " (as the target's user)"))
            for computed, done, how in pairs:
                if done is None:
                    continue
                tried += 1
                if done != computed:
                    where = {"from": item["from"], "to": item["to"], "pid": item["process"]["pid"]}
                    different.append({**where, "action": action + how, "computed": computed, "tried": done})
    return {"tried": tried, "equal": tried - len(different), "different": different}
