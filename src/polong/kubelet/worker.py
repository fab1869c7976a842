"""One Pod's worker: observe, plan, execute, again. It holds the newest spec (a mailbox of depth one) and what must be remembered
between plans; that a Pod is to end can be said once and never be taken back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from polong.kit.clock import Clock
from polong.kit.errors import Conflict, NotFound, PolongError
from polong.kit.tasks import Tasks
from polong.kubelet import backoff, status
from polong.kubelet.actions import Actions, Outcome, every
from polong.kubelet.backoff import Backoff
from polong.kubelet.containerstatus import Circumstances, known_restarts
from polong.kubelet.events import Recorder
from polong.kubelet.health import Health, NoProbes, Probes
from polong.kubelet.identity import label
from polong.kubelet.observation import Observation
from polong.kubelet.plan import (
    CreateSandbox,
    Finish,
    Kill,
    Memory,
    Plan,
    RemoveContainer,
    RemoveSandbox,
    Stage,
    Start,
    StopSandbox,
    backoff_key,
    plan,
)
from polong.kubelet.pleg import Pleg
from polong.kubelet.ports import Api
from polong.kubelet.reports import Reports
from polong.objects import pod as pods

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_SHORTEST, _LONGEST = 1.0, 30.0
_SAME_PLANS = 5
VANISHED_GRACE = 2


@dataclass(frozen=True)
class Parts:
    """What all workers of a node share."""

    api: Api
    pleg: Pleg
    actions: Actions
    reports: Reports
    recorder: Recorder
    clock: Clock
    host_ips: tuple[str, ...]
    probes: Probes = field(default_factory=NoProbes)


class _Interrupted(Exception):  # noqa: N818 - it is no error
    """The Pod began to end, or its grace got shorter, while something long was awaited."""


@dataclass
class _Past:
    """What this worker remembers; times are monotonic seconds."""

    backoffs: dict[str, Backoff] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    retries: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    problems: dict[str, Any] = field(default_factory=dict)
    announced: dict[str, float] = field(default_factory=dict)
    requested: set[str] = field(default_factory=set)
    sandbox_retry: float = 0.0
    sandbox_failures: int = 0
    adopted: bool = False


class Worker:
    """`done` is called when nothing of the Pod is left to be looked after."""

    def __init__(self, pod: Json, parts: Parts, done: Callable[[str], None], *, vanished: bool = False) -> None:
        self.uid = pods.uid(pod)
        self._parts = parts
        self._done = done
        self._pod = pod
        self._status: Json = dict(pods.status(pod))
        self._past = _Past()
        self._health: Mapping[str, Health] = {}
        self._vanished = False
        self._ending = pods.is_terminating(pod)
        self._over = pods.is_finished(pod)
        self._finished = False
        self._poked = asyncio.Event()
        self._changed = False
        self._scope: asyncio.Timeout | None = None
        self._failures = 0
        self._last: tuple[Stage, ...] = ()
        self._repeats = 0
        self._tasks = Tasks(f"Pod {pods.name(pod)}")
        if vanished:
            self.vanish()
        elif not self._ending and not self._status.get("startTime"):
            parts.recorder.scheduled(pod)

    # --- mailbox ---------------------------------------------------------------------------------------------------------------

    @property
    def pod(self) -> Json:
        """The newest spec."""
        return self._pod

    @property
    def vanished(self) -> bool:
        return self._vanished

    def update(self, pod: Json) -> None:
        """The newest spec wins; that it is to end stays, and its grace only gets shorter."""
        if self._vanished:
            return
        before, self._pod = self._pod, pod
        shorter = pods.grace_seconds(pod) < pods.grace_seconds(before) if self._ending else False
        begins = pods.is_terminating(pod) and not self._ending
        self._ending = self._ending or begins
        if begins or shorter:
            self._interrupt()
        if begins or shorter or _essence(pod) != _essence(before):
            self._changed = True
            self._poked.set()

    def vanish(self) -> None:
        """Its object is gone: end what still runs, soon."""
        if self._vanished:
            return
        self._vanished = self._ending = self._changed = True
        metadata = dict(self._pod["metadata"])
        asked = metadata.get("deletionGracePeriodSeconds")
        metadata["deletionGracePeriodSeconds"] = VANISHED_GRACE if asked is None else max(min(int(asked), VANISHED_GRACE), 1)
        self._pod = {**self._pod, "metadata": metadata}
        self._interrupt()
        self._poked.set()

    def restart(self, container: str, container_id: str) -> None:
        """That instance is to go, and another to take its place, now: no back-off, and none for it later."""
        self._past.requested.add(container_id)
        self._past.retries.pop(container, None)
        self._changed = True
        self._poked.set()

    def poke(self) -> None:
        """Something of it changed in the runtime."""
        self._poked.set()

    def _interrupt(self) -> None:
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def _interruptible(self) -> AsyncIterator[None]:
        """What is awaited inside is cancelled (_Interrupted) when the Pod begins to end, or its grace gets shorter."""
        scope = self._scope = asyncio.timeout(None)
        try:
            async with scope:
                yield
        except TimeoutError as error:
            if scope.expired():
                raise _Interrupted from error
            raise
        finally:
            self._scope = None

    # --- the loop --------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until the Pod is gone, or cancelled."""
        try:
            while not self._finished:
                self._poked.clear()
                await self._turn()
            self._done(self.uid)
        finally:
            self._parts.probes.forget(self.uid)
            await self._tasks.aclose()

    async def _turn(self) -> None:
        try:
            wake = await self._sync()
            self._failures = 0
        except _Interrupted:
            return
        except (PolongError, OSError) as error:
            self._failures += 1
            # What failed is tried again at the pace of the failures; only a plan that succeeds and changes nothing would spin.
            self._last = ()
            wake = self._parts.clock.monotonic() + min(_SHORTEST * 2 ** (self._failures - 1), _LONGEST)
            _log.warning("Pod %s: %s", label(self._pod), error)
        if not self._finished:
            await self._sleep(wake)

    async def _sleep(self, wake: float | None) -> None:
        """Until something changed, or until `wake`. After a failure only a new spec ends the pause: what failed may itself have caused
        events of the runtime."""
        due = asyncio.Event()
        alarm = self._tasks.start(self._alarm(wake, due), "alarm") if wake is not None else None
        try:
            await self._poked.wait()
            while self._failures and not self._changed and not due.is_set():
                self._poked.clear()
                await self._poked.wait()
        finally:
            if alarm is not None:
                alarm.cancel()

    async def _alarm(self, wake: float, due: asyncio.Event) -> None:
        await self._parts.clock.sleep(max(wake - self._parts.clock.monotonic(), 0))
        due.set()
        self._poked.set()

    async def _sync(self) -> float | None:
        """Observe, plan, execute until there is nothing to do now; when to look again."""
        while True:
            self._changed = False
            pod = self._pod
            seen = await self._parts.pleg.observe(self.uid)
            self._learn(pod, seen)
            self._health = self._parts.probes.watch(pod, seen, self.poke, ending=self._ending)
            now = self._parts.clock.monotonic()
            decided = plan(pod, seen, self._memory(pod, seen), now)
            self._over = self._over or (decided.over and not self._ending and not seen.alive())
            self._report(pod, seen, decided)
            if not decided.stages:
                self._repeats = 0
                return decided.wake
            self._refuse_to_spin(decided.stages)
            for stage in decided.stages:
                await self._execute(pod, seen, stage)
                if self._finished:
                    return None
                if self._changed:
                    break

    def _refuse_to_spin(self, stages: tuple[Stage, ...]) -> None:
        """A plan that changes nothing must not keep the machine busy."""
        self._repeats = self._repeats + 1 if stages == self._last else 0
        self._last = stages
        if self._repeats >= _SAME_PLANS:
            raise PolongError(f"the runtime does not follow: {stages[0][0]}")

    def _learn(self, pod: Json, seen: Observation) -> None:
        """When instances ended (once, in monotonic time) and what they said."""
        past, clock = self._past, self._parts.clock
        for each in seen.containers:
            if each.state != "exited" or each.id in past.ended:
                continue
            age = (clock.now() - each.finished).total_seconds() if each.finished else 0.0
            past.ended[each.id] = clock.monotonic() - max(age, 0.0)
            if text := self._parts.actions.message(pod, each):
                past.notes[each.id] = text
        for container in pods.containers(pod):
            latest = seen.latest(container["name"])
            if latest is not None and latest.state == "running":
                past.problems.pop(latest.name, None)
            if latest is not None and latest.attempt and not past.adopted:
                # The daemon forgets its back-off when it stops; a crash loop must not become faster by that.
                born = clock.monotonic() - max((clock.now() - latest.created).total_seconds(), 0.0)
                past.backoffs[backoff_key(container)] = Backoff(backoff.after(latest.attempt), born)
        past.adopted = True
        gone = past.ended.keys() - {each.id for each in seen.containers}
        for container_id in gone:
            past.ended.pop(container_id, None)
            past.notes.pop(container_id, None)
            past.requested.discard(container_id)

    def _memory(self, pod: Json, seen: Observation) -> Memory:
        past = self._past
        return Memory(
            backoffs=past.backoffs,
            ended=past.ended,
            retries=past.retries,
            refused=frozenset(name for name, problem in past.problems.items() if problem.final),
            restarts=known_restarts({**pod, "status": self._status}, seen),
            sandbox_retry=past.sandbox_retry,
            requested=frozenset(past.requested),
            health=self._health,
            ending=self._ending,
            over=self._over,
        )

    def _report(self, pod: Json, seen: Observation, decided: Plan) -> None:
        past = self._past
        quiet = not seen.alive()
        known = Circumstances(
            host_ips=self._parts.host_ips,
            waits=decided.waits,
            problems=past.problems,
            notes=past.notes,
            health=self._health,
            over=(decided.over or self._ending) and quiet,
            final=self._ending and quiet,
        )
        for name, wait in decided.waits.items():
            if past.announced.get(name) != wait.until:
                past.announced[name] = wait.until
                text = f"Back-off restarting failed container {name} in pod {label(pod)}"
                self._parts.recorder.pod(pod, "BackOff", text, warning=True, container=name)
        held = {**pod, "status": _merged(self._status, pods.status(pod))}
        new = status.pod_status(held, seen, known, self._parts.clock.now())
        urgent = known.final or _telling(new) != _telling(self._status)
        self._status = new
        if not self._vanished:
            self._parts.reports.put(pod, new, urgent=urgent)

    # --- execution -------------------------------------------------------------------------------------------------------------

    async def _execute(self, pod: Json, seen: Observation, stage: Stage) -> None:
        starts = [each for each in stage if isinstance(each, Start)]
        if starts:
            await self._start(pod, seen, starts)
        others = [each for each in stage if not isinstance(each, Start)]
        if others:
            if all(isinstance(each, Kill | RemoveContainer) for each in others):
                async with self._interruptible():
                    await every(self._act(pod, seen, each) for each in others)
            else:
                await every(self._act(pod, seen, each) for each in others)

    async def _act(
        self, pod: Json, seen: Observation, action: CreateSandbox | Start | Kill | StopSandbox | RemoveContainer | RemoveSandbox | Finish
    ) -> None:
        actions = self._parts.actions
        match action:
            case Kill():
                await actions.kill(pod, action)
            case StopSandbox(sandbox_id):
                await actions.stop_sandbox(sandbox_id)
            case RemoveContainer(container_id):
                await actions.remove_container(container_id)
            case RemoveSandbox(sandbox_id):
                await actions.remove_sandbox(sandbox_id)
            case CreateSandbox():
                await self._create_sandbox(pod, action)
            case Finish():
                await self._finish(pod, seen)
            case Start():
                raise AssertionError("starts are executed together")

    async def _create_sandbox(self, pod: Json, action: CreateSandbox) -> None:
        past = self._past
        if action.changed:
            self._parts.recorder.pod(pod, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        try:
            await self._parts.actions.create_sandbox(pod, action.attempt)
        except (PolongError, OSError):
            delay = min(_SHORTEST * 2**past.sandbox_failures, _LONGEST)
            past.sandbox_failures += 1
            past.sandbox_retry = self._parts.clock.monotonic() + delay
            raise
        past.sandbox_failures = 0
        past.retries.clear()

    async def _start(self, pod: Json, seen: Observation, starts: Sequence[Start]) -> None:
        past, now = self._past, self._parts.clock.monotonic()
        async with self._interruptible():
            images = await self._parts.actions.images(pod, starts)
        for each in starts:
            container = pods.find_container(pod, each.name)
            latest = seen.latest(each.name)
            if each.restart and container is not None and latest is not None and latest.id not in past.requested:
                key = backoff_key(container)
                past.backoffs[key] = backoff.step(past.backoffs.get(key), past.ended.get(latest.id, now), now)
        outcomes = await self._parts.actions.start(pod, seen, starts, images)
        for name, outcome in outcomes.items():
            self._note(pod, name, outcome)

    def _note(self, pod: Json, name: str, outcome: Outcome) -> None:
        past, now = self._past, self._parts.clock.monotonic()
        if outcome.problem is None:
            past.problems.pop(name, None)
            past.retries.pop(name, None)
            return
        past.problems[name] = outcome.problem
        delay = outcome.retry
        if delay is None:
            container = pods.find_container(pod, name)
            assert container is not None
            key = backoff_key(container)
            past.backoffs[key] = backoff.step(past.backoffs.get(key), now, now)
            delay = past.backoffs[key].delay
        past.retries[name] = now + delay

    async def _finish(self, pod: Json, seen: Observation) -> None:
        """The last status stands before the object goes; the object goes last of all, so that a crash finds it again."""
        if not self._vanished:
            await self._parts.reports.flush(self.uid)
        try:
            await self._parts.actions.clean(pod, seen)
        except (PolongError, OSError) as error:
            self._parts.recorder.pod(pod, "FailedKillPod", f"error killing pod: {error}", warning=True)
            raise
        if not self._vanished:
            await self._delete(pod)
        self._parts.reports.forget(self.uid)
        self._finished = True

    async def _delete(self, pod: Json) -> None:
        try:
            await self._parts.api.delete_pod(pods.namespace(pod), pods.name(pod), self.uid)
        except (NotFound, Conflict):
            # Gone already, or another Pod bears the name.
            return


def orphan(uid: str, seen: Observation) -> Json:
    """A Pod that the runtime holds and the API does not know, as far as it can be known."""
    metadata = {"name": seen.name or "unknown", "namespace": seen.namespace or "default", "uid": uid}
    return {"metadata": metadata, "spec": {"containers": []}}


def _merged(own: Json, held: Json) -> Json:
    """The status as it was last written by us, with what others wrote beside it."""
    merged = {**held, **own}
    mine = [each for each in own.get("conditions") or () if each.get("type") in status.OWN_CONDITIONS]
    foreign = [each for each in held.get("conditions") or () if each.get("type") not in status.OWN_CONDITIONS]
    merged["conditions"] = foreign + (mine or [each for each in held.get("conditions") or () if each.get("type") in status.OWN_CONDITIONS])
    for key in ("reason", "message"):
        if key in held:
            merged[key] = held[key]
    return merged


def _telling(reported: Json) -> tuple[str, list[tuple[Any, ...]]]:
    """What somebody may be waiting for: phase, readiness, and why containers wait; that they are being made is no news."""
    told = []
    for each in reported.get("containerStatuses") or ():
        reason = (each["state"].get("waiting") or {}).get("reason", "")
        news = each.get("ready") or each.get("restartCount") or reason not in ("", "ContainerCreating") or "terminated" in each["state"]
        told.append((each["name"], each.get("ready"), each.get("restartCount"), reason) if news else ())
    return reported.get("phase", "Pending"), [each for each in told if each]


def _essence(pod: Json) -> tuple[Any, ...]:
    """What of a Pod can change what is to be done: not the echo of our own statuses."""
    metadata = pod["metadata"]
    foreign = [each for each in pods.status(pod).get("conditions") or () if each.get("type") not in status.OWN_CONDITIONS]
    return (
        pods.spec(pod),
        metadata.get("deletionTimestamp"),
        metadata.get("deletionGracePeriodSeconds"),
        metadata.get("generation"),
        metadata.get("labels"),
        metadata.get("annotations"),
        foreign,
        pods.status(pod).get("reason"),
        pods.status(pod).get("message"),
    )
