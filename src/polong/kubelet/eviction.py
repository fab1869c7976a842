"""The node keeps itself alive: where memory or disk runs short, it first gives back what it can, then ends one Pod at a time.

Nothing of Pods is measured while there is enough. Source: kubelet eviction/eviction_manager.go.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from polong.criapi.wire import v1
from polong.kit.clock import Clock
from polong.kit.errors import PolongError
from polong.kubelet import containers, pressure
from polong.kubelet.config import KubeletConfig
from polong.kubelet.decisions import Verdict
from polong.kubelet.events import Recorder
from polong.kubelet.ports import RuntimeService
from polong.kubelet.pressure import DISK, INODES, MEMORY, SIGNALS, Level, Use
from polong.kubelet.resources import demand
from polong.objects import pod as pods

Json = dict[str, Any]

_log = logging.getLogger(__name__)

Running = Callable[[], Iterable[Json]]
Fail = Callable[[str, Verdict], None]


class Eviction:
    """`running` gives the Pods that may still use something, `fail` ends one by UID, `reclaim` collects images."""

    def __init__(
        self,
        config: KubeletConfig,
        runtime: RuntimeService,
        clock: Clock,
        recorder: Recorder,
        levels: Callable[[], Mapping[str, Level]],
        reclaim: Callable[[], Awaitable[None]],
    ) -> None:
        self._config = config
        self._runtime = runtime
        self._clock = clock
        self._recorder = recorder
        self._levels = levels
        self._reclaim = reclaim
        self._since: dict[str, float] = {}

    def conditions(self) -> frozenset[str]:
        """The pressures that the Node tells: they stay for a while after the shortage, so that they do not flap."""
        horizon = self._clock.monotonic() - self._config.pressure_transition
        return frozenset(kind for kind, last in self._since.items() if last >= horizon)

    def refusal(self, pod: Json) -> Verdict | None:
        """Why a Pod that comes now is not started."""
        text = pressure.admits(pod, self.conditions())
        return Verdict("Evicted", text, 0) if text else None

    async def run(self, running: Running, fail: Fail) -> None:
        """Forever."""
        while True:
            await self._clock.sleep(self._config.eviction_period)
            try:
                await self.look(running, fail)
            except (PolongError, OSError) as error:
                _log.warning("cannot look after the node's resources: %s", error)

    async def look(self, running: Running, fail: Fail) -> None:
        """Once: at most one Pod goes."""
        low = self._low()
        if not low:
            return
        for signal in low:
            self._recorder.node("EvictionThresholdMet", f"Attempting to reclaim {SIGNALS[signal][1]}", warning=True)
        if {DISK, INODES} & set(low):
            await self._reclaim()
            low = self._low()
        for signal in low:
            chosen = pressure.victim(await self._uses(signal, list(running())))
            if chosen is None:
                _log.warning("%s is short, and there is no Pod to evict", SIGNALS[signal][1])
                continue
            text = pressure.message(signal, self._levels()[signal], self._config.eviction_hard[signal], chosen)
            self._recorder.pod(chosen.pod, "Evicted", text, warning=True)
            fail(pods.uid(chosen.pod), Verdict("Evicted", text, 0, disruption=True))
            return

    def _low(self) -> list[str]:
        low = pressure.met(self._levels(), self._config.eviction_hard)
        for signal in low:
            self._since[SIGNALS[signal][0]] = self._clock.monotonic()
        return low

    async def _uses(self, signal: str, running: list[Json]) -> list[Use]:
        answer = await self._runtime.list_container_stats(v1.ListContainerStatsRequest())
        used: dict[tuple[str, str], int] = {}
        for each in answer.stats:
            words = each.attributes.labels
            key = words.get(containers.POD_UID, ""), words.get(containers.CONTAINER_NAME, "")
            used[key] = used.get(key, 0) + _measured(signal, each)
        found = []
        for pod in running:
            rows = tuple((name, used[pods.uid(pod), name], _requested(signal, pod, name)) for uid, name in used if uid == pods.uid(pod))
            found.append(Use(pod, sum(row[1] for row in rows), sum(row[2] for row in rows), rows))
        return found


def _measured(signal: str, stats: v1.ContainerStats) -> int:
    if signal == MEMORY:
        return stats.memory.working_set_bytes.value
    if signal == DISK:
        return stats.writable_layer.used_bytes.value
    # A Pod that runs uses at least one: what else it uses of these is not measured.
    return max(stats.writable_layer.inodes_used.value, 1) if signal == INODES else 1


def _requested(signal: str, pod: Json, name: str) -> int:
    container = pods.find_container(pod, name)
    return (demand(container).memory_request or 0) if signal == MEMORY and container is not None else 0
