"""ContainerStats and ListContainerStats: what a container's cgroup used."""

from __future__ import annotations

from polong.cri import filters, views
from polong.cri.engine import Engine
from polong.cri.table import Container
from polong.criapi.wire import v1


async def container_stats(engine: Engine, request: v1.ContainerStatsRequest) -> v1.ContainerStatsResponse:
    return v1.ContainerStatsResponse(stats=_stats(engine, engine.table.container(request.container_id)))


async def list_container_stats(engine: Engine, request: v1.ListContainerStatsRequest) -> v1.ListContainerStatsResponse:
    wanted = v1.ContainerFilter(
        id=request.filter.id, pod_sandbox_id=request.filter.pod_sandbox_id, label_selector=request.filter.label_selector
    )
    found = [each for each in engine.table.containers.values() if filters.container_matches(views.container_item(each), wanted)]
    return v1.ListContainerStatsResponse(stats=[_stats(engine, each) for each in found if each.state == v1.CONTAINER_RUNNING])


def _stats(engine: Engine, container: Container) -> v1.ContainerStats:
    """Times in nanoseconds, sizes in bytes. Empty figures for a container without processes."""
    config, now = container.config, engine.now()
    stats = v1.ContainerStats(
        attributes=v1.ContainerAttributes(id=container.id, metadata=config.metadata, labels=config.labels, annotations=config.annotations)
    )
    usage = engine.kernel.usage(container.record.cgroup)
    if usage is not None:
        stats.cpu.timestamp = stats.memory.timestamp = now
        stats.cpu.usage_core_nano_seconds.value = usage.cpu
        stats.memory.usage_bytes.value = usage.memory
        stats.memory.working_set_bytes.value = usage.working_set
    return stats
