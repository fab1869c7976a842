"""What to do next for one Pod: (spec, what the runtime holds, what is remembered, time) -> stages of actions. Pure.

Level-triggered: the worker observes, plans, executes one plan and observes again, so that a plan never has to think of what a failed
action left behind. Actions of one stage may run side by side; a later stage runs only when the ones before succeeded.

Invariants: never two live instances of a container; no container without a ready sandbox; a Pod that is ending gets no new container.
Source: kubelet computePodActions, PodSandboxChanged, containerTerminationOrder.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from polong.kubelet import resize, restarts
from polong.kubelet.backoff import Wait
from polong.kubelet.containerstatus import reported_end
from polong.kubelet.decisions import (
    DEADLINE_EXCEEDED,
    Action,
    CreateSandbox,
    Finish,
    Kill,
    Memory,
    Plan,
    RemoveContainer,
    RemoveSandbox,
    Resize,
    Stage,
    Start,
    StopSandbox,
    Verdict,
)
from polong.kubelet.health import Failure, health_of
from polong.kubelet.identity import container_hash
from polong.kubelet.initialization import initialization
from polong.kubelet.observation import Container, Observation
from polong.objects import pod as pods

Json = dict[str, Any]

DEBUGGER_KEPT = 10.0
"""Seconds after its end: whoever is attached to it still reads its last words."""


def plan(pod: Json, seen: Observation, memory: Memory, now: float) -> Plan:
    if memory.ending:
        return Plan((_kills(pod, seen) or (Finish(),),), over=True, verdict=memory.verdict)
    if memory.over:
        return Plan(_down(pod, seen), over=True)
    verdict = memory.verdict
    if memory.deadline is not None and now >= memory.deadline:
        verdict = verdict or DEADLINE_EXCEEDED
    if verdict is not None:
        return Plan(_down(pod, seen, verdict), over=True, verdict=verdict)
    decided = _new_sandbox(pod, seen, memory, now) if _needs_sandbox(pod, seen) else _containers(pod, seen, memory, now)
    if memory.deadline is not None and not decided.over:
        decided = replace(decided, wake=memory.deadline if decided.wake is None else min(decided.wake, memory.deadline))
    return decided


# --- stopping ------------------------------------------------------------------------------------------------------------------------


def _kill(pod: Json, container: Container, message: str = "", *, replaced: bool = False) -> Kill | RemoveContainer:
    """What was never started has nothing to stop: runtimes leave it created for ever."""
    if container.state == "created":
        return RemoveContainer(container.id)
    return Kill(container.id, container.name, pods.grace_seconds(pod), message, replace=replaced)


def _kills(pod: Json, seen: Observation, verdict: Verdict | None = None) -> Stage:
    """All side by side, but each side-car after the regular containers and the side-cars that stand behind it in the spec."""
    order = [container["name"] for container in pods.containers(pod)]
    order += [container["name"] for container in reversed(pods.sidecars(pod))]
    sidecars = {container["name"] for container in pods.sidecars(pod)}
    place = {name: index for index, name in enumerate(order)}
    kills: list[Action] = []
    before: list[str] = []
    for each in sorted(seen.alive(), key=lambda each: place.get(each.name, len(order))):
        kill = _kill(pod, each)
        if isinstance(kill, Kill):
            if verdict is not None and verdict.grace is not None:
                kill = replace(kill, grace=verdict.grace)
            if each.name in sidecars:
                kill = replace(kill, after=frozenset(before))
            if each.name in place:
                before.append(each.id)
        kills.append(kill)
    return tuple(kills)


def _down(pod: Json, seen: Observation, verdict: Verdict | None = None) -> tuple[Stage, ...]:
    """Everything stopped, nothing removed but what never ran."""
    kills = _kills(pod, seen, verdict)
    stops = tuple(StopSandbox(each.id) for each in seen.ready_sandboxes())
    return tuple(stage for stage in (kills, stops) if stage)


# --- the sandbox ---------------------------------------------------------------------------------------------------------------------


def _needs_sandbox(pod: Json, seen: Observation) -> bool:
    newest = seen.sandbox()
    if newest is None or not newest.ready or len(seen.ready_sandboxes()) > 1:
        return True
    return not pods.host_network(pod) and not newest.ips


def _new_sandbox(pod: Json, seen: Observation, memory: Memory, now: float) -> Plan:
    newest = seen.sandbox()
    ran = any(each.started or each.state == "exited" for each in seen.containers) or bool(memory.restarts)
    if (newest is not None or ran) and _is_done(pod, seen, memory, ran=ran):
        return Plan(_down(pod, seen), over=True)
    if down := _down(pod, seen):
        return Plan(down)
    if now < memory.sandbox_retry:
        return Plan(wake=memory.sandbox_retry)
    attempt = newest.attempt + 1 if newest else 0
    return Plan(((CreateSandbox(attempt, changed=newest is not None and ran),),))


def _is_done(pod: Json, seen: Observation, memory: Memory, *, ran: bool) -> bool:
    """No sandbox will be made again: nothing may be restarted, or all that was to run has run."""
    owed = [*pods.containers(pod), *(each for each in pods.init_containers(pod) if not pods.is_sidecar(each))]
    if ran and all(restarts.never_restarts(pod, each) for each in owed):
        return True
    return not any(restarts.wanted(pod, each, seen.latest(each["name"]), memory) for each in pods.containers(pod))


# --- containers ----------------------------------------------------------------------------------------------------------------------


@dataclass
class _Draft:
    kills: list[Action] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    waits: dict[str, Wait] = field(default_factory=dict)
    wakes: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _Situation:
    pod: Json
    seen: Observation
    memory: Memory
    sandbox_id: str
    now: float


def _containers(pod: Json, seen: Observation, memory: Memory, now: float) -> Plan:
    sandbox = seen.sandbox()
    assert sandbox is not None
    here = _Situation(pod, seen, memory, sandbox.id, now)
    draft = _Draft()
    draft.kills += _intruders(here)
    begun = initialization(pod, seen, memory, sandbox.id)
    if begun.failed:
        return Plan(_down(pod, seen), over=True)
    kept = [_attend(here, each, draft) for each in pods.containers(pod)] if begun.done else [True]
    if not any(kept):
        return Plan(_down(pod, seen), over=True)
    regular, draft.starts = draft.starts, []
    for container in pods.ephemeral_containers(pod):
        _attend_once(here, container, draft)
    for container in begun.attended:
        _ = _attend(here, container, draft)
    resizing = resize.resize(pod, seen, memory)
    litter = (*_litter(seen), *_finished_debuggers(here, draft))
    stages: tuple[Stage, ...] = (tuple(draft.kills), _resizes(here, resizing, draft), (*draft.starts, *regular), litter)
    lacking = resizing is not None or bool(resize.outstanding(pod, seen, memory))
    wake = min(draft.wakes, default=None)
    return Plan(tuple(stage for stage in stages if stage), draft.waits, wake, resizing=lacking)


def _resizes(here: _Situation, resizing: Resize | None, draft: _Draft) -> Stage:
    """Before any start: the Pod's cgroup must have room for what is started."""
    if resizing is None:
        return ()
    if here.now < here.memory.resize_retry:
        draft.wakes.append(here.memory.resize_retry)
        return ()
    return (resizing,)


def _intruders(here: _Situation) -> list[Action]:
    """Live instances that have no place: of another sandbox, superseded, in a state that nobody knows, or not named by the spec."""
    names = {container["name"] for _, _, container in pods.all_containers(here.pod)}
    kills: list[Action] = []
    met: set[str] = set()
    for each in here.seen.containers:
        newest = each.name not in met
        met.add(each.name)
        if each.alive and not (newest and each.sandbox_id == here.sandbox_id and each.state != "unknown" and each.name in names):
            kills.append(_kill(here.pod, each))
    return kills


def _attend(here: _Situation, container: Json, draft: _Draft) -> bool:
    """Kill it, start it, or wait for its time; False where it has done its work."""
    latest = here.seen.latest(container["name"])
    if latest is not None and latest.alive:
        if latest.sandbox_id != here.sandbox_id or latest.state == "unknown":
            return True
        if (kill := _misfit(here, container, latest)) is not None:
            draft.kills.append(kill)
            return True
        if latest.state == "running":
            return True
    # How an init container ended in an earlier sandbox says nothing in this one.
    elsewhere = latest is not None and latest.sandbox_id != here.sandbox_id
    counted = None if elsewhere and pods.is_init(here.pod, container) else latest
    if not restarts.wanted(here.pod, container, counted, here.memory):
        return False
    _schedule(here, container, latest, counted, draft)
    return True


def _schedule(here: _Situation, container: Json, latest: Container | None, counted: Container | None, draft: _Draft) -> None:
    moment, wait = restarts.ready_at(container, counted, here.memory)
    if moment > here.now:
        draft.wakes.append(moment)
        if wait is not None:
            draft.waits[container["name"]] = wait
    else:
        draft.starts.append(restarts.start(container["name"], latest, here.memory, here.sandbox_id))


def _attend_once(here: _Situation, container: Json, draft: _Draft) -> None:
    """An ephemeral container: started once, and never again."""
    name = container["name"]
    latest = here.seen.latest(name)
    fresh = latest is None and name not in here.memory.restarts
    waiting = latest is not None and latest.state == "created" and latest.sandbox_id == here.sandbox_id
    if (fresh or waiting) and name not in here.memory.refused:
        _schedule(here, container, latest, latest, draft)


def _misfit(here: _Situation, container: Json, latest: Container) -> Kill | RemoveContainer | None:
    """A live instance that must make room for another: of an older spec, of other resources, asked for, or unhealthy."""
    lasting = pods.is_sidecar(container) or not pods.is_init(here.pod, container)
    if lasting and latest.spec_hash and latest.spec_hash != container_hash(container):
        return _kill(here.pod, latest, f"Container {latest.name} definition changed, will be restarted", replaced=True)
    lacking = resize.lacking(here.pod, container, latest, here.memory.actuated) if lasting else frozenset()
    if lacking and (latest.state == "created" or resize.restarts(container, lacking)):
        return _kill(here.pod, latest, f"Container {latest.name} resize requires restart", replaced=True)
    if latest.id in here.memory.requested and not restarts.never_restarts(here.pod, container):
        return _kill(here.pod, latest, f"Container {latest.name} is restarted on request")
    if latest.state == "running" and (failed := health_of(container, latest.id, here.memory.health).failed) is not None:
        return _unhealthy(here.pod, container, latest, failed)
    return None


def _unhealthy(pod: Json, container: Json, latest: Container, failed: Failure) -> Kill:
    again = restarts.policy(pod, container) != "Never"
    message = f"Container {latest.name} failed {failed.probe} probe" + (", will be restarted" if again else "")
    grace = pods.grace_seconds(pod) if failed.grace is None else failed.grace
    return Kill(latest.id, latest.name, grace, message, replace=again)


def _finished_debuggers(here: _Situation, draft: _Draft) -> Stage:
    """Ephemeral containers that have ended, once the API has been told how: they never run again, and a Pod may be debugged often. Their
    entry in the status and their log stay with the Pod; Kubernetes removes nothing from spec.ephemeralContainers."""
    removals: list[Action] = []
    for container in pods.ephemeral_containers(here.pod):
        latest = here.seen.latest(container["name"])
        if latest is None or latest.state != "exited" or reported_end(here.pod, latest.name) != latest.id:
            continue
        moment = here.memory.ended.get(latest.id, here.now) + DEBUGGER_KEPT
        if here.now >= moment:
            removals.append(RemoveContainer(latest.id))
        else:
            draft.wakes.append(moment)
    return tuple(removals)


def _litter(seen: Observation) -> Stage:
    """Dead instances before the last but one (that one is for `logs --previous`), and old sandboxes without containers."""
    counts: dict[str, int] = {}
    removals: list[Action] = []
    kept_sandboxes = set()
    for each in seen.containers:
        counts[each.name] = counts.get(each.name, 0) + 1
        if counts[each.name] > 2 and not each.alive:
            removals.append(RemoveContainer(each.id))
        else:
            kept_sandboxes.add(each.sandbox_id)
    removals += [RemoveSandbox(each.id) for each in seen.sandboxes[1:] if not each.ready and each.id not in kept_sandboxes]
    return tuple(removals)
