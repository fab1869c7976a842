"""What to do next for one Pod: (spec, what the runtime holds, what is remembered, time) -> stages of actions. Pure.

Level-triggered: the worker observes, plans, executes one plan and observes again, so that a plan never has to think of what a failed
action left behind. Actions of one stage may run side by side; a later stage runs only when the ones before succeeded.

Invariants: never two live instances of a container; no container without a ready sandbox; a Pod that is ending gets no new container.
Source: kubelet computePodActions, PodSandboxChanged, ShouldContainerBeRestarted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from polong.kubelet import backoff
from polong.kubelet.backoff import Backoff, Wait
from polong.kubelet.health import Failure, Health, health_of
from polong.kubelet.identity import container_hash
from polong.kubelet.observation import Container, Observation
from polong.objects import pod as pods

Json = dict[str, Any]


@dataclass(frozen=True)
class CreateSandbox:
    """`changed`: an earlier sandbox of this Pod was lost."""

    attempt: int
    changed: bool = False


@dataclass(frozen=True)
class Start:
    """Pull where needed, create and start. `created` names an instance that was created but never started: it is started as it is."""

    name: str
    attempt: int
    sandbox_id: str
    created: str = ""
    restart: bool = False


@dataclass(frozen=True)
class Kill:
    """Stop signal, `grace` seconds, SIGKILL."""

    id: str
    name: str
    grace: int
    message: str = ""


@dataclass(frozen=True)
class StopSandbox:
    id: str


@dataclass(frozen=True)
class RemoveContainer:
    id: str


@dataclass(frozen=True)
class RemoveSandbox:
    id: str


@dataclass(frozen=True)
class Finish:
    """No container of the Pod lives any more: report the last status, stop its sandboxes, remove everything, delete the object."""


Action = CreateSandbox | Start | Kill | StopSandbox | RemoveContainer | RemoveSandbox | Finish
Stage = tuple[Action, ...]


@dataclass(frozen=True)
class Memory:
    """What the worker remembers between plans. All times are monotonic seconds.

    `backoffs` by container name and spec hash, `ended` by container id, `retries` by container name (not before, after a failed
    start), `refused` the containers whose only start failed, `restarts` the restart counts of containers that the runtime has no record
    of any more; `requested` the ids of instances that somebody wants replaced now, back-off or not; `health` what probes say, by
    container id; `ending` that the Pod is to go; `over` that its phase is terminal.
    """

    backoffs: Mapping[str, Backoff] = field(default_factory=dict)
    ended: Mapping[str, float] = field(default_factory=dict)
    retries: Mapping[str, float] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    restarts: Mapping[str, int] = field(default_factory=dict)
    requested: frozenset[str] = frozenset()
    health: Mapping[str, Health] = field(default_factory=dict)
    sandbox_retry: float = 0.0
    ending: bool = False
    over: bool = False


@dataclass(frozen=True)
class Plan:
    """`wake` is when to plan again without any event; `over`: the Pod has come to its end and nothing of it will be started again."""

    stages: tuple[Stage, ...] = ()
    waits: Mapping[str, Wait] = field(default_factory=dict)
    wake: float | None = None
    over: bool = False


def backoff_key(container: Json) -> str:
    return f"{container['name']}/{container_hash(container)}"


def plan(pod: Json, seen: Observation, memory: Memory, now: float) -> Plan:
    if memory.ending:
        return _end(pod, seen)
    if memory.over:
        return Plan(_down(pod, seen), over=True)
    if _needs_sandbox(pod, seen):
        return _new_sandbox(pod, seen, memory, now)
    return _containers(pod, seen, memory, now)


def _kill(pod: Json, container: Container, message: str = "") -> Kill | RemoveContainer:
    """What was never started has nothing to stop: runtimes leave it created for ever."""
    if container.state == "created":
        return RemoveContainer(container.id)
    return Kill(container.id, container.name, pods.grace_seconds(pod), message)


def _kills(pod: Json, seen: Observation) -> Stage:
    order = {each["name"]: place for place, each in enumerate(pods.containers(pod))}
    return tuple(_kill(pod, each) for each in sorted(seen.alive(), key=lambda each: order.get(each.name, len(order))))


def _down(pod: Json, seen: Observation) -> tuple[Stage, ...]:
    """Everything stopped, nothing removed but what never ran."""
    kills = _kills(pod, seen)
    stops = tuple(StopSandbox(each.id) for each in seen.ready_sandboxes())
    return tuple(stage for stage in (kills, stops) if stage)


def _end(pod: Json, seen: Observation) -> Plan:
    return Plan((_kills(pod, seen) or (Finish(),),), over=True)


def _needs_sandbox(pod: Json, seen: Observation) -> bool:
    newest = seen.sandbox()
    if newest is None or not newest.ready or len(seen.ready_sandboxes()) > 1:
        return True
    return not pods.host_network(pod) and not newest.ips


def _new_sandbox(pod: Json, seen: Observation, memory: Memory, now: float) -> Plan:
    newest = seen.sandbox()
    ran = any(each.started or each.state == "exited" for each in seen.containers) or bool(memory.restarts)
    policy = pods.restart_policy(pod)
    if newest is not None or ran:
        if policy == "Never" and ran:
            return Plan(_down(pod, seen), over=True)
        if not any(_wanted(each, seen, memory, policy) for each in pods.containers(pod)):
            return Plan(_down(pod, seen), over=True)
    if down := _down(pod, seen):
        return Plan(down)
    if now < memory.sandbox_retry:
        return Plan(wake=memory.sandbox_retry)
    attempt = newest.attempt + 1 if newest else 0
    return Plan(((CreateSandbox(attempt, changed=newest is not None and ran),),))


def _wanted(container: Json, seen: Observation, memory: Memory, policy: str) -> bool:
    """The policy lets the container run (again)."""
    if container["name"] in memory.refused:
        return False
    latest = seen.latest(container["name"])
    if latest is None or latest.alive:
        return True
    if policy == "Never":
        return False
    if latest.id in memory.requested:
        return True
    return policy != "OnFailure" or latest.exit_code != 0


def _containers(pod: Json, seen: Observation, memory: Memory, now: float) -> Plan:
    sandbox = seen.sandbox()
    if sandbox is None:
        return Plan()
    policy = pods.restart_policy(pod)
    kills: list[Action] = []
    starts: list[Start] = []
    waits: dict[str, Wait] = {}
    wakes: list[float] = []
    kept = 0
    for container in pods.containers(pod):
        name = container["name"]
        instances = [each for each in seen.containers if each.name == name]
        if misfits := _misfits(pod, container, instances, sandbox.id, memory):
            kills += misfits
            kept += 1
            continue
        latest = instances[0] if instances else None
        if latest is not None and latest.state == "running":
            kept += 1
            continue
        if not _wanted(container, seen, memory, policy):
            continue
        kept += 1
        ready_at, wait = _ready_at(container, latest, memory)
        if ready_at > now:
            wakes.append(ready_at)
            if wait is not None:
                waits[name] = wait
            continue
        starts.append(_start(name, latest, memory, sandbox.id))
    strangers = _strangers(pod, seen)
    if not kept and not strangers:
        return Plan(_down(pod, seen), over=True)
    stages: tuple[Stage, ...] = (tuple(kills + strangers), tuple(starts), _litter(seen))
    return Plan(tuple(stage for stage in stages if stage), waits, min(wakes, default=None))


def _misfits(pod: Json, container: Json, instances: list[Container], sandbox_id: str, memory: Memory) -> list[Action]:
    """Live instances that must go first: of an older spec, of another sandbox, superseded, or in a state that nobody knows."""
    wanted = container_hash(container)
    kills: list[Action] = []
    for place, each in enumerate(instances):
        if not each.alive:
            continue
        if place or each.sandbox_id != sandbox_id or each.state == "unknown":
            kills.append(_kill(pod, each))
        elif each.spec_hash and each.spec_hash != wanted:
            kills.append(_kill(pod, each, f"Container {each.name} definition changed, will be restarted"))
        elif each.id in memory.requested and pods.restart_policy(pod) != "Never":
            kills.append(_kill(pod, each, f"Container {each.name} is restarted on request"))
        elif each.state == "running" and (failed := health_of(container, each.id, memory.health).failed) is not None:
            kills.append(_unhealthy(pod, each, failed))
    return kills


def _unhealthy(pod: Json, container: Container, failed: Failure) -> Kill:
    message = f"Container {container.name} failed {failed.probe} probe"
    if pods.restart_policy(pod) != "Never":
        message += ", will be restarted"
    return Kill(container.id, container.name, pods.grace_seconds(pod) if failed.grace is None else failed.grace, message)


def _ready_at(container: Json, latest: Container | None, memory: Memory) -> tuple[float, Wait | None]:
    retry = memory.retries.get(container["name"], 0.0)
    if latest is None or latest.state != "exited" or latest.id in memory.requested:
        return retry, None
    entry = memory.backoffs.get(backoff_key(container))
    ended = memory.ended.get(latest.id, 0.0)
    until = backoff.wait_until(entry, ended)
    if entry is None or until <= retry:
        return retry, None
    return until, Wait(until, entry.delay)


def _start(name: str, latest: Container | None, memory: Memory, sandbox_id: str) -> Start:
    if latest is None:
        known = memory.restarts.get(name)
        return Start(name, 0 if known is None else known + 1, sandbox_id, restart=known is not None)
    if latest.state == "created":
        return Start(name, latest.attempt, sandbox_id, created=latest.id)
    return Start(name, latest.attempt + 1, sandbox_id, restart=True)


def _strangers(pod: Json, seen: Observation) -> list[Action]:
    """Live containers that the spec does not name."""
    names = {each["name"] for each in pods.containers(pod)}
    return [_kill(pod, each) for each in seen.alive() if each.name not in names]


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
