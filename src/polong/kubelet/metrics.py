"""What the node tells of its Pods in /metrics: processes, zombies and orphans by container, what they use, how often they were started.

Names: cAdvisor's and the kubelet's (container_processes, kubelet_running_pods, …); what neither has begins with polong_.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polong.criapi.wire import v1
from polong.kit import metrics
from polong.kit.metrics import Family
from polong.kubelet import containers
from polong.kubelet.events import Recorder
from polong.kubelet.host.processes import Group, Look, Reader, classify
from polong.kubelet.ports import RuntimeService
from polong.kubelet.streams.processes import PodProcesses

Json = dict[str, Any]

_PLACE = ("namespace", "pod", "container")
_READING = 10.0


@dataclass(frozen=True)
class Place:
    """Whose a group of processes is."""

    namespace: str
    pod: str

    def labels(self, container: str) -> tuple[str, str, str]:
        # As cAdvisor names the sandbox's own.
        return self.namespace, self.pod, container or "POD"


class NodeMetrics:
    def __init__(
        self, node_name: str, runtime: RuntimeService, processes: PodProcesses, recorder: Recorder, reader: Reader | None = None
    ) -> None:
        self._node_name = node_name
        self._runtime = runtime
        self._processes = processes
        self._recorder = recorder
        self._reader = reader or Reader()

    async def text(self) -> str:
        """All that can be told now. Reads every process of every Pod once."""
        places: dict[str, Place] = {}
        groups: list[Group] = []
        sandboxes = (await self._runtime.list_pod_sandbox(v1.ListPodSandboxRequest())).items
        for uid in dict.fromkeys(each.metadata.uid for each in sandboxes):
            where, its = await self._processes.groups(uid)
            groups += its
            places |= dict.fromkeys((each.id for each in its), Place(*where))
        async with asyncio.timeout(_READING):
            look = await asyncio.to_thread(self._reader.read, groups)
        families = [*of_processes(look, groups, places), *await self._usage(), *self._running(sandboxes, groups), *self._told()]
        return metrics.text(families)

    async def _usage(self) -> list[Family]:
        cpu = metrics.counter("container_cpu_usage_seconds_total", "CPU time used.", *_PLACE)
        working = metrics.gauge("container_memory_working_set_bytes", "Memory that cannot be had back at once.", *_PLACE)
        used = metrics.gauge("container_memory_usage_bytes", "Memory in use, page cache included.", *_PLACE)
        for each in (await self._runtime.list_container_stats(v1.ListContainerStatsRequest())).stats:
            labels = each.attributes.labels
            at = labels.get(containers.POD_NAMESPACE, ""), labels.get(containers.POD_NAME, ""), each.attributes.metadata.name
            cpu.set(each.cpu.usage_core_nano_seconds.value / 1e9, *at)
            working.set(each.memory.working_set_bytes.value, *at)
            used.set(each.memory.usage_bytes.value, *at)
        return [cpu, working, used]

    def _running(self, sandboxes: Sequence[v1.PodSandbox], groups: Sequence[Group]) -> list[Family]:
        node = metrics.gauge("kubelet_node_name", "The name of this node.", "node")
        node.set(1, self._node_name)
        pods = metrics.gauge("kubelet_running_pods", "Pods that have a running sandbox.")
        pods.set(len({each.metadata.uid for each in sandboxes if each.state == v1.PodSandboxState.SANDBOX_READY}))
        running = metrics.gauge("kubelet_running_containers", "Containers by state.", "container_state")
        running.set(sum(1 for each in groups if each.container), "running")
        return [node, pods, running]

    def _told(self) -> list[Family]:
        """From the Events that were recorded: each is told once here, however often it is counted up there."""
        told = self._recorder.counts
        pause = metrics.counter("polong_pause_deaths_total", "Sandboxes made anew because /pause had ended.")
        pause.set(told["Normal", "SandboxChanged"])
        started = metrics.counter("kubelet_started_containers_total", "Containers started.")
        started.set(told["Normal", "Started"])
        failed = metrics.counter("kubelet_started_containers_errors_total", "Containers that could not be started.")
        failed.set(told["Warning", "Failed"])
        events = metrics.counter("polong_events_total", "Events recorded by this node.", "type", "reason")
        for (kind, reason), count in sorted(told.items()):
            events.set(count, kind, reason)
        return [pause, started, failed, events]


def of_processes(look: Look, groups: Sequence[Group], places: Mapping[str, Place]) -> list[Family]:
    """A value for each group, also 0: a series that comes and goes can be neither summed nor alerted on."""
    families = {
        "": metrics.gauge("container_processes", "Processes, zombies not counted.", *_PLACE),
        "threads": metrics.gauge("container_threads", "Threads.", *_PLACE),
        "zombie": metrics.gauge("polong_container_zombies", "Processes that have ended and that no parent has asked for.", *_PLACE),
        "orphan": metrics.gauge("polong_container_orphans", "Processes that lost their parent and were adopted by /pause.", *_PLACE),
        "exec": metrics.gauge("polong_container_execs", "Processes that came by exec.", *_PLACE),
    }
    counted: dict[str, Counter[str]] = {each.id: Counter() for each in groups}
    for told in classify(look.found):
        count = counted[told.found.group.id]
        count["zombie" if told.zombie else ""] += 1
        if not told.zombie:
            count[told.role] += 1
            count["threads"] += told.found.stat.threads
    for group in groups:
        for key, family in families.items():
            family.set(counted[group.id][key], *places[group.id].labels(group.container))
    return list(families.values())
