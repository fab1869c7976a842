"""UpdatePodSandboxResources: what a Pod's containers use together, told to the runtime when a Pod is resized."""

from __future__ import annotations

from polong.cri.engine import Engine
from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition


async def update_pod_sandbox_resources(
    engine: Engine, request: v1.UpdatePodSandboxResourcesRequest
) -> v1.UpdatePodSandboxResourcesResponse:
    """It is noted. The cgroup of the Pod belongs to the caller, who has set its limits before; for runtimes of virtual machines the
    call means more than for this one."""
    sandbox = engine.table.sandbox(request.pod_sandbox_id)
    async with sandbox.changing:
        if not sandbox.ready:
            raise FailedPrecondition(f"sandbox {sandbox.id} is not ready: its resources cannot be changed")
        for field in ("overhead", "resources"):
            if request.HasField(field):
                getattr(sandbox.config.linux, field).CopyFrom(getattr(request, field))
        sandbox.record.config = sandbox.config.SerializeToString()
        engine.save_sandbox(sandbox)
    return v1.UpdatePodSandboxResourcesResponse()
