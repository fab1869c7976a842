"""Carrying out a `Resize`: the Pod's cgroup is made wide enough, then the containers, then the Pod's cgroup what it is to be."""

from __future__ import annotations

import logging
from typing import Any

from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition, NotFound, PolongError
from polong.kubelet.allocation import Allocations
from polong.kubelet.containers import resized
from polong.kubelet.decisions import Resize
from polong.kubelet.host.cgroups import PodCgroups
from polong.kubelet.observation import Container, Observation
from polong.kubelet.ports import RuntimeService
from polong.kubelet.resources import applied, pod_limits
from polong.objects import pod as pods

Json = dict[str, Any]

_log = logging.getLogger(__name__)


class Resizer:
    def __init__(self, runtime: RuntimeService, cgroups: PodCgroups, allocations: Allocations) -> None:
        self._runtime = runtime
        self._cgroups = cgroups
        self._allocations = allocations

    async def carry_out(self, pod: Json, seen: Observation, resize: Resize) -> None:
        """FailedPrecondition, Unavailable or OSError where something stands in the way: what was done stays, the rest is tried again."""
        chosen = [each for each in seen.containers if each.id in resize.ids]
        before, after = self._allocations.grant(pods.uid(pod)).limits, pod_limits(pod)
        for each in chosen:
            await self._verify(pod, each)
        await self._cgroups.limit(pod, after if before is None else before.widest(after))
        done: dict[str, str] = {}
        for each in chosen:
            container = pods.find_container(pod, each.name)
            assert container is not None
            request = v1.UpdateContainerResourcesRequest(container_id=each.id, linux=resized(pod, container))
            try:
                await self._runtime.update_container_resources(request)
            except NotFound:
                continue
            done[each.id] = each.name
        await self._cgroups.limit(pod, after)
        await self._tell(seen, pod)
        self._allocations.resized(pod, done, after)

    async def _verify(self, pod: Json, container: Container) -> None:
        """Under v2 the kernel would kill what does not fit any more; so less memory than is used now is not set."""
        wanted = applied(pod, pods.find_container(pod, container.name) or {}).memory
        held = container.applied.memory if container.applied is not None else 0
        if not wanted or (held and wanted >= held):
            return
        answer = await self._runtime.container_stats(v1.ContainerStatsRequest(container_id=container.id))
        used = answer.stats.memory.usage_bytes.value
        if used >= wanted:
            text = f'attempting to set container "{container.name}" memory limit ({wanted}) below current usage ({used})'
            raise FailedPrecondition(text)

    async def _tell(self, seen: Observation, pod: Json) -> None:
        """Runtimes of virtual machines want to know; one that cannot be told does as well without."""
        sandbox, limits = seen.sandbox(), pod_limits(pod)
        if sandbox is None:
            return
        together = v1.LinuxContainerResources(cpu_period=limits.period, cpu_shares=limits.shares)
        together.cpu_quota, together.memory_limit_in_bytes = limits.quota or 0, limits.memory or 0
        try:
            await self._runtime.update_pod_sandbox_resources(
                v1.UpdatePodSandboxResourcesRequest(pod_sandbox_id=sandbox.id, resources=together)
            )
        except PolongError as error:
            _log.info("the runtime takes no resources of sandbox %s: %s", sandbox.id, error)
