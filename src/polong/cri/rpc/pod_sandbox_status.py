"""PodSandboxStatus. `verbose` adds what crictl inspectp shows: the host PID of /pause, the network namespace, the runtime's config."""

from __future__ import annotations

import msgspec

from polong.cri import views
from polong.cri.engine import Engine
from polong.criapi.wire import v1


async def pod_sandbox_status(engine: Engine, request: v1.PodSandboxStatusRequest) -> v1.PodSandboxStatusResponse:
    sandbox = engine.table.sandbox(request.pod_sandbox_id)
    response = v1.PodSandboxStatusResponse(
        status=views.sandbox_status(sandbox),
        containers_statuses=[views.container_status(each) for each in engine.table.containers_of(sandbox.id)],
        timestamp=engine.now(),
    )
    if request.verbose:
        record = sandbox.record
        info = {
            "pid": record.pid if sandbox.ready else 0,
            "processStatus": "running" if sandbox.ready else "stopped",
            "message": record.message,
            "netns": record.netns,
            "runtimeHandler": record.handler,
            "runtimeSpec": engine.runtime_config(engine.settings.sandbox_dir(sandbox.id)),
        }
        response.info["info"] = msgspec.json.encode(info).decode()
    return response
