"""StopPodSandbox: ends the sandbox's containers by force, its /pause and its network. Idempotent."""

from __future__ import annotations

import signal

from polong.cri import notify, sandbox_files, stopping
from polong.cri.engine import Engine
from polong.cri.parallel import every
from polong.cri.table import Sandbox
from polong.criapi.wire import v1


async def stop_pod_sandbox(engine: Engine, request: v1.StopPodSandboxRequest) -> v1.StopPodSandboxResponse:
    """A sandbox that is not known is stopped: the specification asks for idempotency, not for knowledge."""
    sandbox = engine.table.sandboxes.get(request.pod_sandbox_id)
    if sandbox is not None:
        await stop(engine, sandbox)
    return v1.StopPodSandboxResponse()


async def stop(engine: Engine, sandbox: Sandbox) -> None:
    async with sandbox.changing:
        await sandbox.close_to_creations()
        if sandbox.record.stopped_at:
            return
        if engine.plugins.listening:
            # They may count on the sandbox until they have heard.
            await _end_containers(engine, sandbox)
            await engine.plugins.stop_sandbox(sandbox)
        await every([_end_processes(engine, sandbox), _detach(engine, sandbox)])
        sandbox_files.unmake(engine.kernel, engine.settings.sandbox_dir(sandbox.id))
        sandbox.record.stopped_at = engine.now()
        died = bool(sandbox.record.died_at)
        engine.save_sandbox(sandbox)
        sandbox.over.set()
    if not died:
        notify.publish(engine, v1.CONTAINER_STOPPED_EVENT, sandbox.id, sandbox.id)


async def _end_containers(engine: Engine, sandbox: Sandbox) -> None:
    await every(stopping.stop(engine, container, 0) for container in engine.table.containers_of(sandbox.id))


async def _end_processes(engine: Engine, sandbox: Sandbox) -> None:
    await _end_containers(engine, sandbox)
    if sandbox.pause is not None:
        sandbox.pause.signal(signal.SIGKILL)
    await engine.handler(sandbox.record.handler).runtime.delete(sandbox.id, force=True)


async def _detach(engine: Engine, sandbox: Sandbox) -> None:
    record = sandbox.record
    if not record.netns or record.network_detached:
        return
    await engine.network.detach(sandbox.id)
    await engine.network.delete_namespace(sandbox.id)
    record.network_detached = True
    engine.save_sandbox(sandbox)
