"""ListPodSandboxMetrics: cAdvisor's metrics of every ready sandbox and of its running containers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from polong.cri import metrics
from polong.cri.engine import Engine
from polong.cri.kernel import CgroupUsage, Details, Interface
from polong.cri.rpc import container_stats
from polong.cri.table import Container, Sandbox
from polong.criapi.wire import v1


async def list_pod_sandbox_metrics(engine: Engine, _request: v1.ListPodSandboxMetricsRequest) -> v1.ListPodSandboxMetricsResponse:
    ready = [each for each in engine.table.sandboxes.values() if each.ready]
    return v1.ListPodSandboxMetricsResponse(pod_metrics=[await _of_sandbox(engine, each) for each in ready])


async def _of_sandbox(engine: Engine, sandbox: Sandbox) -> v1.PodSandboxMetrics:
    config, record = sandbox.config, sandbox.record
    pod, namespace = config.metadata.name, config.metadata.namespace
    subject = metrics.Subject(id=record.cgroup_parent, name=sandbox.id, image="", container="", pod=pod, namespace=namespace)
    interfaces = engine.kernel.interfaces(record.pid) if record.netns else ()
    figures = await _figures(engine, record.cgroup_parent, record.pid, config.linux.resources, record.created_at, interfaces=interfaces)
    result = v1.PodSandboxMetrics(pod_sandbox_id=sandbox.id, metrics=metrics.of(figures, subject))
    for container in engine.table.containers_of(sandbox.id):
        if container.state == v1.CONTAINER_RUNNING:
            result.container_metrics.append(await _of_container(engine, container, pod, namespace))
    return result


async def _of_container(engine: Engine, container: Container, pod: str, namespace: str) -> v1.ContainerMetrics:
    config, record = container.config, container.record
    subject = metrics.Subject(
        id=record.cgroup,
        name=container.id,
        image=config.image.user_specified_image or config.image.image,
        container=config.metadata.name,
        pod=pod,
        namespace=namespace,
    )
    used = (await container_stats.layer(engine, container.id, engine.now())).used_bytes.value
    figures = await _figures(engine, record.cgroup, record.pid, config.linux.resources, record.started_at, used=used)
    return v1.ContainerMetrics(container_id=container.id, metrics=metrics.of(figures, subject))


async def _figures(
    engine: Engine,
    cgroup: str,
    pid: int,
    resources: v1.LinuxContainerResources,
    started: int,
    *,
    used: int = 0,
    interfaces: Sequence[Interface] = (),
) -> metrics.Figures:
    """In a thread: some twenty files of the kernel, and every descriptor of every process."""
    usage = engine.kernel.usage(cgroup) or CgroupUsage()
    details = await asyncio.to_thread(engine.kernel.details, cgroup)
    place = os.statvfs(engine.images.place)
    disk = metrics.Disk(
        used=used,
        size=place.f_blocks * place.f_frsize,
        inodes=place.f_files,
        inodes_free=place.f_ffree,
        device=str(engine.images.place),
    )
    return metrics.Figures(
        usage=usage,
        details=details or Details(),
        resources=resources,
        disk=disk,
        interfaces=interfaces,
        open_files_limit=engine.kernel.open_files_limit(pid),
        started=started,
        now=engine.now(),
    )
