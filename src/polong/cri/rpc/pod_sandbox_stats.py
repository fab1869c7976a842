"""PodSandboxStats and ListPodSandboxStats: what a Pod used as a whole, its network, and each of its containers."""

from __future__ import annotations

from polong.cri import filters, usage, views
from polong.cri.engine import Engine
from polong.cri.rpc import container_stats
from polong.cri.table import Sandbox
from polong.criapi.wire import v1


async def pod_sandbox_stats(engine: Engine, request: v1.PodSandboxStatsRequest) -> v1.PodSandboxStatsResponse:
    return v1.PodSandboxStatsResponse(stats=await _stats(engine, engine.table.sandbox(request.pod_sandbox_id)))


async def list_pod_sandbox_stats(engine: Engine, request: v1.ListPodSandboxStatsRequest) -> v1.ListPodSandboxStatsResponse:
    """Of those that are ready."""
    wanted = v1.PodSandboxFilter(id=request.filter.id, label_selector=request.filter.label_selector)
    found = [each for each in engine.table.sandboxes.values() if each.ready and filters.sandbox_matches(views.sandbox_item(each), wanted)]
    return v1.ListPodSandboxStatsResponse(stats=[await _stats(engine, each) for each in found])


async def _stats(engine: Engine, sandbox: Sandbox) -> v1.PodSandboxStats:
    """The Pod's cgroup is the one that holds the sandbox's: made by the caller, or by us for sandboxes that name none."""
    config, record, now = sandbox.config, sandbox.record, engine.now()
    result = v1.PodSandboxStats(
        attributes=v1.PodSandboxAttributes(id=sandbox.id, metadata=config.metadata, labels=config.labels, annotations=config.annotations)
    )
    linux = result.linux
    used = engine.kernel.usage(record.cgroup_parent)
    if used is not None:
        linux.cpu.CopyFrom(usage.cpu(used, now, engine.rates.of(sandbox.id, now, used.cpu)))
        linux.memory.CopyFrom(usage.memory(used, now, config.linux.resources.memory_limit_in_bytes))
        linux.process.CopyFrom(v1.ProcessUsage(timestamp=now, process_count=v1.UInt64Value(value=used.pids)))
    if sandbox.ready and record.netns:
        linux.network.CopyFrom(usage.network(engine.kernel.interfaces(record.pid), now))
    running = [each for each in engine.table.containers_of(sandbox.id) if each.state == v1.CONTAINER_RUNNING]
    linux.containers.extend([await container_stats.stats(engine, each) for each in running])
    return result
