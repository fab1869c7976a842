"""ContainerStatus. `verbose` adds a JSON object: `pid` (host PID of the main process while it lives, `mainPid` also after), `sandboxID`,
`runtimeSpec`, `execs` (what runs by ExecSync now)."""

from __future__ import annotations

import msgspec

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
            "mainPid": record.pid,
            "runtimeHandler": record.handler,
            "execs": [{"pid": pid, "command": command} for pid, command in container.execs.items()],
            "runtimeSpec": engine.runtime_config(engine.settings.container_dir(container.id)),
        }
        response.info["info"] = msgspec.json.encode(info).decode()
    return response
