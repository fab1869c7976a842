"""StartContainer: let the created process become the container's own."""

from __future__ import annotations

from polong.cri import exits, namespaces, notify, stopping
from polong.cri.engine import Engine
from polong.cri.table import Container
from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition, PolongError


async def start_container(engine: Engine, request: v1.StartContainerRequest) -> v1.StartContainerResponse:
    container = engine.table.container(request.container_id)
    async with container.changing:
        _require_startable(engine, container)
        await engine.plugins.start_container(container)
        record = container.record
        if container.start_error:
            exits.never_began(engine, container)
            raise FailedPrecondition(f"cannot start container {container.id}: {container.start_error}", reason="RunContainerError")
        # Noted before the deed: a container that runs must never be taken for one that was only created.
        record.started_at, record.starting = engine.now(), True
        engine.save_container(container)
        try:
            await engine.handler(record.handler).runtime.start(container.id)
        except PolongError as error:
            await _failed(engine, container, error)
            raise FailedPrecondition(f"cannot start container {container.id}: {error.message}", reason="RunContainerError") from error
        if record.starting:
            record.starting = False
            engine.save_container(container)
    await engine.plugins.container_started(container)
    _ = engine.tasks.start(exits.check_started(engine, container), f"check of {container.id[:12]}")
    notify.publish(engine, v1.CONTAINER_STARTED_EVENT, container.id, record.sandbox_id)
    return v1.StartContainerResponse()


def _require_startable(engine: Engine, container: Container) -> None:
    if container.state != v1.CONTAINER_CREATED:
        raise FailedPrecondition(f"container {container.id} is in {v1.ContainerState.Name(container.state)}, not in CONTAINER_CREATED")
    sandbox = engine.table.sandbox(container.record.sandbox_id)
    if not sandbox.ready:
        raise FailedPrecondition(f"sandbox {sandbox.id} of container {container.id} is not ready")
    options = container.config.linux.security_context.namespace_options
    if options.pid == v1.TARGET:
        namespaces.running_target(options.target_id, sandbox.id, engine.table.record)


async def _failed(engine: Engine, container: Container, error: PolongError) -> None:
    """It counts as exited, with the runtime's own words; Kubernetes' users read them in the container's status."""
    container.start_error = error.message
    if container.over.is_set():
        exits.rewrite_start_error(engine, container)
        return
    await stopping.kill(engine, container)
