"""What metrics.k8s.io tells: CPU and memory of containers and of the node, as metrics-server computes them from a kubelet.

CPU is a rate between two readings. Nothing is read while nobody asks: the first question after a silence takes a second reading.
Source: metrics-server pkg/storage, KEP-2371.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polong.criapi.wire import v1
from polong.kit.clock import Clock, rfc3339
from polong.kubelet import containers
from polong.kubelet.host import load
from polong.kubelet.identity import go_duration
from polong.kubelet.ports import RuntimeService
from polong.objects import pod as pods

Json = dict[str, Any]

_NODE = ""
_SHORTEST, _LONGEST = 1.0, 60.0


@dataclass(frozen=True)
class Reading:
    """`at` in monotonic seconds, `cpu` in nanoseconds used so far, `memory` the working set in bytes; keys are container ids."""

    at: float
    cpu: Mapping[str, int]
    memory: Mapping[str, int]


def rate(before: Reading, now: Reading, key: str) -> int | None:
    """Nanocores between two readings; None for what was not in both, or began again in between. Pure."""
    first, last = before.cpu.get(key), now.cpu.get(key)
    if first is None or last is None or last < first or now.at <= before.at:
        return None
    return int((last - first) / (now.at - before.at))


class ResourceMetrics:
    """Satisfies `api.ports.ResourceMetrics`."""

    def __init__(self, runtime: RuntimeService, clock: Clock, original: Callable[[Json], Json] = lambda pod: pod) -> None:
        """`original` finds the static Pod behind a mirror."""
        self._original = original
        self._runtime = runtime
        self._clock = clock
        self._last: Reading | None = None
        self._names: dict[str, tuple[str, str]] = {}

    async def of_pods(self, wanted: Sequence[Json]) -> Sequence[Json]:
        before, now = await self._readings()
        found = []
        for pod in wanted:
            usages, its = {}, pods.uid(self._original(pod))
            for key, (uid, name) in self._names.items():
                used = rate(before, now, key)
                if uid == its and used is not None:
                    usages[name] = _usage(used, now.memory.get(key, 0))
            if usages:
                told = [{"name": name, "usage": usages[name]} for name in sorted(usages)]
                found.append({"metadata": _metadata(pod), **self._window(before, now), "containers": told})
        return found

    async def of_node(self, node: Json) -> Json | None:
        before, now = await self._readings()
        used = rate(before, now, _NODE)
        if used is None:
            return None
        return {"metadata": _metadata(node), **self._window(before, now), "usage": _usage(used, now.memory[_NODE])}

    async def _readings(self) -> tuple[Reading, Reading]:
        """Two that are far enough apart, the second taken now."""
        before = self._last
        if before is None or self._clock.monotonic() - before.at > _LONGEST:
            before = await self._read()
        wait = before.at + _SHORTEST - self._clock.monotonic()
        if wait > 0:
            await self._clock.sleep(wait)
        now = await self._read()
        fresh = set(now.cpu) - set(before.cpu)
        if fresh:
            # What has begun since the last reading has no rate yet.
            await self._clock.sleep(_SHORTEST)
            before, now = now, await self._read()
        self._last = now
        return before, now

    async def _read(self) -> Reading:
        answer = await self._runtime.list_container_stats(v1.ListContainerStatsRequest())
        whole = load.read()
        cpu, memory = {_NODE: whole.cpu}, {_NODE: whole.memory}
        self._names = {}
        for each in answer.stats:
            key, words = each.attributes.id, each.attributes.labels
            if each.HasField("cpu"):
                cpu[key] = each.cpu.usage_core_nano_seconds.value
                memory[key] = each.memory.working_set_bytes.value
                self._names[key] = (words.get(containers.POD_UID, ""), words.get(containers.CONTAINER_NAME, ""))
        return Reading(self._clock.monotonic(), cpu, memory)

    def _window(self, before: Reading, now: Reading) -> Json:
        return {"timestamp": rfc3339(self._clock.now()), "window": go_duration(round(now.at - before.at, 3))}


def _metadata(obj: Json) -> Json:
    return {key: value for key, value in obj["metadata"].items() if key in ("name", "namespace", "labels")}


def _usage(nanocores: int, working_set: int) -> Json:
    return {"cpu": f"{nanocores}n", "memory": f"{working_set // 1024}Ki"}
