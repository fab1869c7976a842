"""ListPodSandboxMetrics: cAdvisor's metrics of every ready sandbox and of its running containers."""

from __future__ import annotations

from polong.cri import metrics
from polong.cri.engine import Engine
from polong.cri.table import Container, Sandbox
from polong.criapi.wire import v1


async def list_pod_sandbox_metrics(engine: Engine, _request: v1.ListPodSandboxMetricsRequest) -> v1.ListPodSandboxMetricsResponse:
    ready = [each for each in engine.table.sandboxes.values() if each.ready]
    return v1.ListPodSandboxMetricsResponse(pod_metrics=[_of_sandbox(engine, each) for each in ready])


def _of_sandbox(engine: Engine, sandbox: Sandbox) -> v1.PodSandboxMetrics:
    now, record = engine.now(), sandbox.record
    subject = metrics.Subject(
        id=record.cgroup_parent,
        name=sandbox.id,
        image="",
        container="",
        pod=sandbox.config.metadata.name,
        namespace=sandbox.config.metadata.namespace,
        started=record.created_at,
    )
    result = v1.PodSandboxMetrics(pod_sandbox_id=sandbox.id)
    used = engine.kernel.usage(record.cgroup_parent)
    if used is not None:
        result.metrics.extend(metrics.of_cgroup(used, subject, now))
    if record.netns:
        result.metrics.extend(metrics.of_interfaces(engine.kernel.interfaces(record.pid), subject, now))
    for container in engine.table.containers_of(sandbox.id):
        if container.state == v1.CONTAINER_RUNNING:
            result.container_metrics.append(_of_container(engine, container, subject, now))
    return result


def _of_container(engine: Engine, container: Container, pod: metrics.Subject, now: int) -> v1.ContainerMetrics:
    config, record = container.config, container.record
    subject = metrics.Subject(
        id=record.cgroup,
        name=container.id,
        image=config.image.user_specified_image or config.image.image,
        container=config.metadata.name,
        pod=pod.pod,
        namespace=pod.namespace,
        started=record.started_at,
        limit=config.linux.resources.memory_limit_in_bytes,
    )
    used = engine.kernel.usage(record.cgroup)
    found = [] if used is None else metrics.of_cgroup(used, subject, now)
    return v1.ContainerMetrics(container_id=container.id, metrics=found)
