"""One Pod's worker: observe, plan, execute, again. It holds the newest spec (a mailbox of depth one) and what must be remembered
between plans; that a Pod is to end can be said once and never be taken back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from polong.kit.clock import Clock
from polong.kit.errors import Conflict, NotFound, PolongError
from polong.kit.tasks import Tasks
from polong.kubelet import resize, status
from polong.kubelet.actions import Actions
from polong.kubelet.allocation import Allocations
from polong.kubelet.containerstatus import Circumstances, Resizing
from polong.kubelet.decisions import Finish, Plan, Stage, Start, Verdict
from polong.kubelet.events import Recorder
from polong.kubelet.execution import Execution, Interrupted, Interruption
from polong.kubelet.health import NoProbes, Probes
from polong.kubelet.identity import label
from polong.kubelet.observation import Observation
from polong.kubelet.plan import plan
from polong.kubelet.pleg import Pleg
from polong.kubelet.ports import PodWrites
from polong.kubelet.recall import Recall
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

    api: PodWrites
    pleg: Pleg
    actions: Actions
    reports: Reports
    recorder: Recorder
    clock: Clock
    host_ips: tuple[str, ...]
    allocations: Allocations
    probes: Probes = field(default_factory=NoProbes)


class Worker:
    """`done` is called when nothing of the Pod is left to be looked after."""

    def __init__(self, pod: Json, parts: Parts, done: Callable[[str], None], *, vanished: bool = False) -> None:
        self.uid = pods.uid(pod)
        self._parts = parts
        self._done = done
        self._pod = pod
        self._status: Json = dict(pods.status(pod))
        self._recall = Recall(parts.clock)
        self._interruption = Interruption()
        self._execution = Execution(parts.actions, parts.recorder, self._recall, self._interruption)
        self._vanished = False
        self._ending = pods.is_terminating(pod)
        self._over = pods.is_finished(pod)
        self._finished = False
        self._poked = asyncio.Event()
        self._news = asyncio.Event()
        self._changed = False
        self._failures = 0
        self._last: tuple[Stage, ...] = ()
        self._repeats = 0
        self._resizing = False
        self._tasks = Tasks(f"Pod {pods.name(pod)}")
        if vanished:
            self.vanish()
        elif not self._ending and not self._status.get("startTime") and not pods.is_static(pod):
            parts.recorder.scheduled(pod)

    # --- mailbox ---------------------------------------------------------------------------------------------------------------

    @property
    def pod(self) -> Json:
        """The newest spec."""
        return self._pod

    @property
    def vanished(self) -> bool:
        return self._vanished

    @property
    def over(self) -> bool:
        """It has come to its end: nothing of it runs, or will."""
        return self._over

    def update(self, pod: Json) -> None:
        """The newest spec wins; that it is to end stays, and its grace only gets shorter."""
        if self._vanished:
            return
        before, self._pod = self._pod, pod
        shorter = pods.grace_seconds(pod) < pods.grace_seconds(before) if self._ending else False
        begins = pods.is_terminating(pod) and not self._ending
        self._ending = self._ending or begins
        if begins or shorter:
            self._interruption.now()
        if begins or shorter or _essence(pod) != _essence(before):
            self.reconsider()

    def vanish(self) -> None:
        """Its object is gone: end what still runs, soon."""
        if self._vanished:
            return
        self._vanished = self._ending = self._changed = True
        metadata = dict(self._pod["metadata"])
        asked = metadata.get("deletionGracePeriodSeconds")
        metadata["deletionGracePeriodSeconds"] = VANISHED_GRACE if asked is None else max(min(int(asked), VANISHED_GRACE), 1)
        self._pod = {**self._pod, "metadata": metadata}
        self._interruption.now()
        self._poked.set()

    def restart(self, container: str, container_id: str) -> None:
        """That instance is to go, and another to take its place, now: no back-off, and none for it later."""
        self._recall.request(container, container_id)
        self._changed = True
        self._poked.set()

    def fail(self, verdict: Verdict) -> None:
        """Stop it for good, whatever its containers do (eviction): phase Failed with that reason. The object stays."""
        if self._recall.verdict is None and not self._over:
            self._recall.verdict = verdict
            self._interruption.now()
            self._changed = True
            self._poked.set()

    def reconsider(self) -> None:
        """What kept a container or the sandbox from being made may be gone: try again now, not when its pause is over."""
        self._recall.reconsider()
        self._changed = True
        self._poked.set()

    def poke(self) -> None:
        """Something of it changed in the runtime, or its probes found something."""
        self._poked.set()
        self._news.set()

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
        except Interrupted:
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
            pod = self._parts.allocations.of(self._pod)
            seen = await self._parts.pleg.observe(self.uid)
            self._learn(pod, seen)
            now = self._parts.clock.monotonic()
            grant = self._parts.allocations.grant(self.uid)
            memory = self._recall.memory({**pod, "status": self._status}, seen, grant, ending=self._ending, over=self._over)
            decided = plan(pod, seen, memory, now)
            if decided.over and not self._ending and not seen.alive():
                self._over = True
                self._parts.allocations.finished(self.uid)
            self._report(pod, seen, decided)
            if not decided.stages:
                self._note_resize(pod, decided)
                self._repeats = 0
                return decided.wake
            self._refuse_to_spin(decided.stages)
            for stage in decided.stages:
                if isinstance(stage[0], Finish):
                    await self._finish(pod, seen)
                    return None
                self._resizing = self._resizing or decided.resizing
                async with self._reporting(pod, decided), self._within(memory.deadline, stage):
                    await self._execution.stage(pod, seen, stage)
                if self._changed:
                    break

    def _note_resize(self, pod: Json, decided: Plan) -> None:
        if self._resizing and not decided.resizing:
            self._parts.recorder.pod(pod, "ResizeCompleted", f"Pod resize completed: {resize.summary(pod)}")
        self._resizing = decided.resizing

    def _refuse_to_spin(self, stages: tuple[Stage, ...]) -> None:
        """A plan that changes nothing must not keep the machine busy."""
        self._repeats = self._repeats + 1 if stages == self._last else 0
        self._last = stages
        if self._repeats >= _SAME_PLANS:
            raise PolongError(f"the runtime does not follow: {stages[0][0]}")

    def _learn(self, pod: Json, seen: Observation) -> None:
        recall = self._recall
        for each in recall.observe(pod, seen):
            if text := self._parts.actions.message(pod, each):
                recall.notes[each.id] = text
        recall.health = self._parts.probes.watch(pod, seen, self.poke, ending=self._ending)

    def _report(self, pod: Json, seen: Observation, decided: Plan) -> None:
        recall = self._recall
        if recall.verdict is None and decided.verdict is not None:
            recall.verdict = decided.verdict
            self._parts.recorder.pod(pod, decided.verdict.reason, decided.verdict.message)
        quiet = not seen.alive()
        grant = self._parts.allocations.grant(self.uid)
        known = Circumstances(
            host_ips=self._parts.host_ips,
            waits=decided.waits,
            problems=recall.problems,
            notes=recall.notes,
            health=recall.health,
            verdict=recall.verdict,
            over=(decided.over or self._ending) and quiet,
            final=self._ending and quiet,
            resize=Resizing(grant.pending, decided.resizing, recall.resize_error, grant.actuated),
        )
        for name, wait in decided.waits.items():
            if recall.announce(name, wait.until):
                text = f"Back-off restarting failed container {name} in pod {label(pod)}"
                self._parts.recorder.pod(pod, "BackOff", text, warning=True, container=name)
        held = {**pod, "status": status.merged(self._status, pods.status(pod))}
        new = status.pod_status(held, seen, known, self._parts.clock.now())
        urgent = known.final or status.telling(new) != status.telling(self._status)
        self._status = new
        if not self._vanished:
            self._parts.reports.put(pod, new, urgent=urgent)

    @asynccontextmanager
    async def _within(self, deadline: float | None, stage: Stage) -> AsyncIterator[None]:
        """A start (a pull, a hook) that takes longer than the Pod may is broken off."""
        if deadline is None or not isinstance(stage[0], Start):
            yield
            return
        task = self._tasks.start(self._interrupt_at(deadline), "deadline")
        try:
            yield
        finally:
            task.cancel()

    async def _interrupt_at(self, deadline: float) -> None:
        await self._parts.clock.sleep(max(deadline - self._parts.clock.monotonic(), 0))
        self._interruption.now()

    @asynccontextmanager
    async def _reporting(self, pod: Json, decided: Plan) -> AsyncIterator[None]:
        """While what is done inside takes long (a pull, a hook, a grace), what is seen meanwhile is reported; nothing is decided by it."""
        task = self._tasks.start(self._report_meanwhile(pod, decided), "reports")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _report_meanwhile(self, pod: Json, decided: Plan) -> None:
        self._news.clear()
        while True:
            # What is soon over is reported when it is over.
            await self._parts.clock.sleep(_SHORTEST)
            await self._news.wait()
            self._news.clear()
            try:
                seen = (await self._parts.pleg.observe(self.uid)).without_hooked(self._parts.actions.starting(self.uid))
            except PolongError:
                continue
            self._learn(pod, seen)
            self._report(pod, seen, decided)

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
