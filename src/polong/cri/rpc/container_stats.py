"""ContainerStats and ListContainerStats: what a container's cgroup and its writable layer used."""

from __future__ import annotations

from polong.cri import filters, usage, views
from polong.cri.engine import Engine
from polong.cri.table import Container
from polong.criapi.wire import v1


async def container_stats(engine: Engine, request: v1.ContainerStatsRequest) -> v1.ContainerStatsResponse:
    return v1.ContainerStatsResponse(stats=await stats(engine, engine.table.container(request.container_id)))


async def list_container_stats(engine: Engine, request: v1.ListContainerStatsRequest) -> v1.ListContainerStatsResponse:
    """Of what runs."""
    wanted = v1.ContainerFilter(
        id=request.filter.id, pod_sandbox_id=request.filter.pod_sandbox_id, label_selector=request.filter.label_selector
    )
    found = [each for each in engine.table.containers.values() if filters.container_matches(views.container_item(each), wanted)]
    running = [each for each in found if each.state == v1.CONTAINER_RUNNING]
    return v1.ListContainerStatsResponse(stats=[await stats(engine, each) for each in running])


async def stats(engine: Engine, container: Container) -> v1.ContainerStats:
    """No figures of the cgroup for a container without one."""
    config, now = container.config, engine.now()
    result = v1.ContainerStats(
        attributes=v1.ContainerAttributes(id=container.id, metadata=config.metadata, labels=config.labels, annotations=config.annotations)
    )
    used = engine.kernel.usage(container.record.cgroup)
    if used is not None:
        result.cpu.CopyFrom(usage.cpu(used, now, engine.rates.of(container.id, now, used.cpu)))
        result.memory.CopyFrom(usage.memory(used, now, config.linux.resources.memory_limit_in_bytes))
        result.swap.CopyFrom(usage.swap(used, now))
    result.writable_layer.CopyFrom(await layer(engine, container.id, now))
    return result


async def layer(engine: Engine, container_id: str, now: int) -> v1.FilesystemUsage:
    """The writable layer, as of some seconds ago at most."""
    found = engine.layers.known(container_id, now)
    if found is None:
        found = (now, *await engine.images.rootfs_usage(container_id))
        if container_id in engine.table.containers:
            engine.layers.keep(container_id, found)
    return usage.layer(found, engine.images.place)
