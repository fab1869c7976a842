"""RemovePodSandbox: stops it where it was not, removes its containers, leaves nothing. Idempotent."""

from __future__ import annotations

import asyncio
import posixpath

from polong.cri import notify
from polong.cri.engine import Engine, remove_tree
from polong.cri.parallel import every
from polong.cri.rpc.remove_container import remove
from polong.cri.rpc.stop_pod_sandbox import stop
from polong.cri.table import Sandbox
from polong.criapi.wire import v1


async def remove_pod_sandbox(engine: Engine, request: v1.RemovePodSandboxRequest) -> v1.RemovePodSandboxResponse:
    sandbox = engine.table.sandboxes.get(request.pod_sandbox_id)
    if sandbox is not None:
        await stop(engine, sandbox)
        await every(remove(engine, container) for container in engine.table.containers_of(sandbox.id))
        await _forget(engine, sandbox)
    return v1.RemovePodSandboxResponse()


async def _forget(engine: Engine, sandbox: Sandbox) -> None:
    async with sandbox.changing:
        if engine.table.sandboxes.get(sandbox.id) is not sandbox:
            return
        await engine.plugins.remove_sandbox(sandbox)
        await engine.kernel.kill_cgroup(posixpath.join(sandbox.record.cgroup_parent, sandbox.id), 10.0)
        engine.remove_sandbox_cgroup(sandbox.record)
        await asyncio.to_thread(remove_tree, engine.settings.sandbox_dir(sandbox.id))
        engine.sandbox_records.delete(sandbox.id)
        del engine.table.sandboxes[sandbox.id]
        engine.table.release(sandbox.id)
        engine.forget_usage(sandbox.id)
        if sandbox.pause is not None:
            sandbox.pause.close()
    notify.publish(engine, v1.CONTAINER_DELETED_EVENT, sandbox.id, sandbox.id)
