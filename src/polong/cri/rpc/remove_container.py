"""RemoveContainer: ends it by force where it runs, and leaves nothing of it but its log. Idempotent."""

from __future__ import annotations

import asyncio
import signal

from polong.cri import notify, stopping, volumes
from polong.cri.engine import Engine, remove_tree
from polong.cri.parallel import every
from polong.cri.table import Container
from polong.criapi.wire import v1


async def remove_container(engine: Engine, request: v1.RemoveContainerRequest) -> v1.RemoveContainerResponse:
    container = engine.table.containers.get(request.container_id)
    if container is not None:
        await remove(engine, container)
    return v1.RemoveContainerResponse()


async def remove(engine: Engine, container: Container) -> None:
    """The record goes last: whatever fails, a later try or a restart finds the rest."""
    await stopping.stop(engine, container, 0)
    async with container.changing:
        if engine.table.containers.get(container.id) is not container:
            return
        await engine.plugins.remove_container(container)
        record, handler = container.record, engine.handler(container.record.handler)
        await every([engine.images.release_rootfs(container.id), handler.runtime.delete(container.id, force=True)])
        handler.supervisor.forget(container.id)
        volumes.release(engine, container.id)
        await asyncio.to_thread(remove_tree, engine.settings.container_dir(container.id))
        engine.kernel.remove_cgroup(record.cgroup)
        engine.container_records.delete(container.id)
        del engine.table.containers[container.id]
        engine.table.release(container.id)
        engine.forget_usage(container.id)
        if container.conmon is not None:
            # By now it has ended by itself, or stands still: nobody needs it any more.
            container.conmon.signal(signal.SIGKILL)
        for process in (container.main, container.conmon):
            if process is not None:
                process.close()
    notify.publish(engine, v1.CONTAINER_DELETED_EVENT, container.id, record.sandbox_id)
