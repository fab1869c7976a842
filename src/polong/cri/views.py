"""Records, to the messages that CRI's clients read. Pure."""

from __future__ import annotations

from polong.cri import signals
from polong.cri.records import container as containers
from polong.cri.records import sandbox as sandboxes
from polong.cri.table import Container, Sandbox
from polong.criapi.wire import v1


def sandbox_item(sandbox: Sandbox) -> v1.PodSandbox:
    config, record = sandbox.config, sandbox.record
    return v1.PodSandbox(
        id=record.id,
        metadata=config.metadata,
        state=sandboxes.state(record),
        created_at=record.created_at,
        labels=config.labels,
        annotations=config.annotations,
        runtime_handler=record.handler,
    )


def sandbox_status(sandbox: Sandbox) -> v1.PodSandboxStatus:
    config, record = sandbox.config, sandbox.record
    options = config.linux.security_context.namespace_options
    status = v1.PodSandboxStatus(
        id=record.id,
        metadata=config.metadata,
        state=sandboxes.state(record),
        created_at=record.created_at,
        linux=v1.LinuxPodSandboxStatus(namespaces=v1.Namespace(options=options)),
        labels=config.labels,
        annotations=config.annotations,
        runtime_handler=record.handler,
    )
    status.network.SetInParent()
    if record.ips:
        status.network.ip = record.ips[0]
        status.network.additional_ips.extend(v1.PodIP(ip=ip) for ip in record.ips[1:])
    return status


def container_item(container: Container) -> v1.Container:
    config, record = container.config, container.record
    return v1.Container(
        id=record.id,
        pod_sandbox_id=record.sandbox_id,
        metadata=config.metadata,
        image=config.image,
        image_ref=record.image_ref,
        image_id=record.image_id,
        state=containers.state(record),
        created_at=record.created_at,
        labels=config.labels,
        annotations=config.annotations,
    )


def container_status(container: Container) -> v1.ContainerStatus:
    config, record = container.config, container.record
    return v1.ContainerStatus(
        id=record.id,
        metadata=config.metadata,
        state=containers.state(record),
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        exit_code=record.exit_code,
        image=config.image,
        image_ref=record.image_ref,
        image_id=record.image_id,
        reason=record.reason,
        message=record.message,
        labels=config.labels,
        annotations=config.annotations,
        mounts=config.mounts,
        log_path=record.log_path,
        resources=v1.ContainerResources(linux=config.linux.resources),
        user=v1.ContainerUser(
            linux=v1.LinuxContainerUser(uid=record.uid, gid=record.gid, supplemental_groups=record.groups),
        ),
        stop_signal=signals.effective(config.stop_signal, record.stop_signal),
    )
