"""ReopenContainerLog: after the log file was renamed away."""

from __future__ import annotations

from polong.cri.engine import Engine
from polong.criapi.wire import v1


async def reopen_container_log(engine: Engine, request: v1.ReopenContainerLogRequest) -> v1.ReopenContainerLogResponse:
    container = engine.table.running(request.container_id)
    await engine.handler(container.record.handler).supervisor.reopen_log(container.id)
    return v1.ReopenContainerLogResponse()
