"""Reload on change: once a volume shows a new ConfigMap or Secret, the processes that the Pod's annotation names get their signal.

What the annotation says is `objects.reload`'s; who is meant, and that nobody else gets it, is `host.signals`'.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from polong.kit import signals as names
from polong.kit.clock import Clock
from polong.kit.errors import FailedPrecondition, PolongError
from polong.kit.tasks import Tasks
from polong.kubelet.events import Recorder
from polong.kubelet.host import signals
from polong.kubelet.identity import label
from polong.kubelet.streams.processes import PodProcesses
from polong.objects import pod as pods
from polong.objects import reload
from polong.objects.podreferences import Reference
from polong.objects.podsignal import SignalOptions
from polong.objects.reload import Rule

Json = dict[str, Any]

_log = logging.getLogger(__name__)

_SETTLE = 0.25
"""Seconds: what changes within them is told by one signal."""

_GAP = 1.0
"""Seconds between two signals for one Pod."""

_YOUNG = 2.0
"""A container is left alone for its first seconds: it may not have installed its handler yet, and a signal would end it."""

_LOOK = 0.25
_TRIES = 3

Target = tuple[str, int, str]


@dataclass
class _Pending:
    """What one Pod has still to be told. `changed` by target: the objects."""

    pod: Json
    changed: dict[Target, set[Reference]] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


class Reloader:
    def __init__(self, processes: PodProcesses, recorder: Recorder, clock: Clock) -> None:
        self._processes = processes
        self._recorder = recorder
        self._clock = clock
        self._pending: dict[str, _Pending] = {}
        self._tasks = Tasks("reload")

    async def aclose(self) -> None:
        await self._tasks.aclose()

    def changed(self, pod: Json, objects: Iterable[Reference]) -> None:
        """The Pod's volumes show something new of these. Returns at once."""
        found = frozenset(objects)
        wanted = [(rule, hit) for rule in reload.rules(pod) if (hit := rule.objects & found)]
        if not wanted:
            return
        uid = pods.uid(pod)
        pending = self._pending.setdefault(uid, _Pending(pod))
        pending.pod = pod
        for rule, hit in wanted:
            pending.changed.setdefault(_target(rule), set()).update(hit)
        if pending.task is None or pending.task.done():
            pending.task = self._tasks.start(self._run(uid, pending), f"Pod {label(pod)}")

    def forget(self, uid: str) -> None:
        """The Pod is gone, or ends."""
        pending = self._pending.pop(uid, None)
        if pending is not None and pending.task is not None:
            pending.task.cancel()

    async def _run(self, uid: str, pending: _Pending) -> None:
        while pending.changed:
            await self._clock.sleep(_SETTLE)
            todo, pending.changed = pending.changed, {}
            for target, objects in todo.items():
                await self._tell(pending.pod, target, objects)
            await self._clock.sleep(_GAP)
        if self._pending.get(uid) is pending:
            del self._pending[uid]

    async def _tell(self, pod: Json, target: Target, objects: set[Reference]) -> None:
        container, number, pattern = target
        why = " and ".join(f"{each.kind} {each.name}" for each in sorted(objects))
        options = SignalOptions(number=number, container=container, match=pattern)
        try:
            receivers = await self._send(pod, options)
        except FailedPrecondition as error:
            # Whoever does not run will read the new files when it starts.
            _log.info("Pod %s: no %s after %s changed: %s", label(pod), names.name(number), why, error)
            return
        except (PolongError, OSError) as error:
            text = f"{why} changed, but {names.name(number)} was not sent: {error}"
            self._recorder.pod(pod, "FailedReload", text, warning=True, container=container)
            return
        for _, message in signals.stories(options, receivers, ""):
            self._recorder.pod(pod, "Reloaded", f"{message}: {why} changed", container=container)
        for each in receivers:
            if each["outcome"] not in (signals.SENT, signals.VANISHED):
                text = f"{why} changed, but {names.name(number)} to PID {each['pid']} ({each['name']}) was {each['outcome']}"
                self._recorder.pod(pod, "FailedReload", text, warning=True, container=container)

    async def _send(self, pod: Json, options: SignalOptions) -> list[Json]:
        """As `PodProcesses.deliver`, once the container is old enough, and again where the process just went (a worker being replaced)."""
        for _ in range(_TRIES):
            while (age := await self._processes.age(pod, options.container)) is not None and age < _YOUNG:
                await self._clock.sleep(_YOUNG - age)
            receivers = await self._processes.deliver(pod, options)
            if any(each["outcome"] != signals.VANISHED for each in receivers):
                return receivers
            await self._clock.sleep(_LOOK)
        return []


def _target(rule: Rule) -> Target:
    return rule.container, rule.signal, rule.pattern
