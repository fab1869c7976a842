"""ContainerStatus. `verbose` adds a JSON object with `pid` (host PID of the main process), `sandboxID` and `runtimeSpec`."""

from __future__ import annotations

import json

from polong.cri import views
from polong.cri.engine import Engine
from polong.criapi.wire import v1


async def container_status(engine: Engine, request: v1.ContainerStatusRequest) -> v1.ContainerStatusResponse:
    container = engine.table.container(request.container_id)
    response = v1.ContainerStatusResponse(status=views.container_status(container))
    if request.verbose:
        record = container.record
        info = {
            "sandboxID": record.sandbox_id,
            "pid": 0 if container.over.is_set() else record.pid,
            "runtimeHandler": record.handler,
            "runtimeSpec": engine.runtime_config(engine.settings.container_dir(container.id)),
        }
        response.info["info"] = json.dumps(info)
    return response
