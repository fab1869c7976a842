"""UpdateContainerResources: limits of a created or running container, changed in place."""

from __future__ import annotations

from polong.cri import spec
from polong.cri.engine import Engine
from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition
from polong.oci.spec import resources


async def update_container_resources(engine: Engine, request: v1.UpdateContainerResourcesRequest) -> v1.UpdateContainerResourcesResponse:
    container = engine.table.container(request.container_id)
    async with container.changing:
        if container.state not in (v1.CONTAINER_CREATED, v1.CONTAINER_RUNNING):
            raise FailedPrecondition(f"container {container.id} is not running: its resources cannot be changed")
        await engine.plugins.update_container(container)
        document = resources.section(spec.resources(request.linux))
        await engine.handler(container.record.handler).runtime.update(container.id, document)
        # What the request leaves at zero keeps its value, as in the kernel.
        container.config.linux.resources.MergeFrom(request.linux)
        container.record.config = container.config.SerializeToString()
        engine.save_container(container)
    await engine.plugins.container_updated(container)
    return v1.UpdateContainerResourcesResponse()
