"""How a main process is ended: its stop signal, a time of grace, then SIGKILL to everything in its cgroup.

Every call sends its own signal and keeps its own deadline, so that calls join by themselves: the shortest grace wins, and all
return when the exit is recorded. Kubernetes counts on it when a grace period is shortened.
"""

from __future__ import annotations

import asyncio
import signal

from polong.cri import exits
from polong.cri.engine import Engine
from polong.cri.table import Container
from polong.criapi.wire import v1
from polong.kit.errors import DeadlineExceeded

_LONGEST_DEATH = 30.0
_RECORDED = 150.0


async def stop(engine: Engine, container: Container, grace: float) -> None:
    """Return when the exit is recorded. `grace` in seconds, 0 kills at once. DeadlineExceeded where even SIGKILL does not help."""
    if container.start_error and container.main is None:
        exits.never_began(engine, container)
    if container.over.is_set():
        return
    if grace > 0 and container.state == v1.CONTAINER_RUNNING:
        await _signal(engine, container)
        if await over_within(container, grace):
            return
    await kill(engine, container)


async def _signal(engine: Engine, container: Container) -> None:
    number = container.record.stop_signal
    if container.main is not None and container.record.handler in engine.runs_host_processes:
        # What crun and runc do by `kill`, without the process that it costs.
        container.main.signal(number)
        return
    await engine.handler(container.record.handler).runtime.kill(container.id, number)


async def kill(engine: Engine, container: Container) -> None:
    """SIGKILL to the main process and to all that is in its cgroup; return when the exit is recorded."""
    if container.main is not None:
        container.main.signal(signal.SIGKILL)
    gone = await engine.kernel.kill_cgroup(container.record.cgroup, _LONGEST_DEATH)
    if not gone or not await over_within(container, _RECORDED):
        raise DeadlineExceeded(f"cannot stop container {container.id}: processes in cgroup {container.record.cgroup} survive SIGKILL")


async def over_within(container: Container, seconds: float) -> bool:
    """Whether the exit was recorded within that time."""
    try:
        async with asyncio.timeout(seconds):
            await container.over.wait()
    except TimeoutError:
        return False
    return True
