"""StopContainer. Idempotent; calls beside each other join (see `polong.cri.stopping`)."""

from __future__ import annotations

from polong.cri import stopping
from polong.cri.engine import Engine
from polong.criapi.wire import v1


async def stop_container(engine: Engine, request: v1.StopContainerRequest) -> v1.StopContainerResponse:
    """`timeout` in seconds. A container that is not known is stopped: the specification asks for idempotency, not for knowledge."""
    container = engine.table.containers.get(request.container_id)
    if container is not None:
        await stopping.stop(engine, container, max(0, request.timeout))
    return v1.StopContainerResponse()
