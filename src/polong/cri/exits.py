"""The watch over main processes: nothing is called exited before everything of it is gone, and no exit code is guessed.

A main process that is PID 1 of its own namespace takes all others with it. In a shared namespace (modes POD, NODE, TARGET) the
kernel does not: what is left in the container's cgroup is killed here, before the exit is published (behaviour of containerd).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from polong.cri import notify
from polong.cri.engine import Engine
from polong.cri.records.container import UNKNOWN_EXIT_CODE, exit_reason
from polong.cri.table import Container, Sandbox
from polong.criapi.wire import v1
from polong.kit.errors import PolongError

_log = logging.getLogger(__name__)

# Killed processes vanish within milliseconds, unless they hang in the kernel (a dead NFS server, a stuck device).
_LEFTOVERS = 10.0
_LEFTOVERS_GIVE_UP = 120.0
# conmon writes the exit file right after it has reaped the main process and drained its output.
_EXIT_FILE = 5.0
_EXIT_FILE_POLL = 0.002
_FILTER = 2.0
_FILTER_POLL = 0.01


def watch_container(engine: Engine, container: Container) -> None:
    """From now on its exit is seen. `container.main` is set, `container.conmon` where it lives."""
    _ = engine.tasks.start(_main_ended(engine, container), f"exit of {container.id[:12]}")
    if container.conmon is not None:
        _ = engine.tasks.start(_conmon_ended(engine, container), f"supervisor of {container.id[:12]}")


def watch_sandbox(engine: Engine, sandbox: Sandbox) -> None:
    """From now on the death of its /pause is seen."""
    _ = engine.tasks.start(_pause_ended(engine, sandbox), f"pause of {sandbox.id[:12]}")


async def _main_ended(engine: Engine, container: Container) -> None:
    if container.main is not None:
        await container.main.ended()
    await settle(engine, container)


async def _conmon_ended(engine: Engine, container: Container) -> None:
    if container.conmon is None:
        return
    await container.conmon.ended()
    if container.main is not None and container.main.alive and not container.over.is_set():
        await supervisor_lost(engine, container)


async def supervisor_lost(engine: Engine, container: Container) -> None:
    """Nobody holds its terminal, writes its log or will know its exit code: better ended than half alive."""
    _log.error("conmon of container %s died: the container is killed", container.id)
    container.record.message = "the supervisor of this container (conmon) died"
    await engine.kernel.kill_cgroup(container.record.cgroup, _LEFTOVERS)


async def _pause_ended(engine: Engine, sandbox: Sandbox) -> None:
    if sandbox.pause is not None:
        await sandbox.pause.ended()
    sandbox_died(engine, sandbox)


def sandbox_died(engine: Engine, sandbox: Sandbox, message: str = "the sandbox's own process (/pause) ended") -> None:
    """Note that it is not ready any more, once."""
    record = sandbox.record
    if record.died_at or record.stopped_at:
        return
    record.died_at = engine.now()
    record.message = "" if sandbox.closing else message
    _saved(lambda: engine.save_sandbox(sandbox), f"sandbox {sandbox.id}")
    sandbox.over.set()
    notify.publish(engine, v1.CONTAINER_STOPPED_EVENT, sandbox.id, sandbox.id)


async def settle(engine: Engine, container: Container) -> None:
    """The main process has ended: end the rest, learn the exit code, record it, then publish."""
    record = container.record
    if not record.own_pid_namespace:
        await _end_leftovers(engine, container)
    _sandbox_first(engine, record.sandbox_id)
    code = await _exit_code(engine, container)
    if not container.over.is_set():
        _end(engine, container, code)
        # No step between: whoever waited for the end and now removes it comes after this in the order of the plugins.
        await engine.plugins.container_stopped(container)


def never_began(engine: Engine, container: Container) -> None:
    """The OCI runtime had refused to make its process (`start_error`): it counts as exited. Idempotent."""
    if not container.over.is_set():
        _end(engine, container, None)


def _end(engine: Engine, container: Container, code: int | None) -> None:
    record = container.record
    record.finished_at = max(engine.now(), record.started_at + 1)
    record.starting = False
    _conclude(engine, container, code)
    _saved(lambda: engine.save_container(container), f"container {container.id}")
    container.over.set()
    notify.publish(engine, v1.CONTAINER_STOPPED_EVENT, container.id, record.sandbox_id)


def _sandbox_first(engine: Engine, sandbox_id: str) -> None:
    """When /pause dies, the kernel kills the containers of a shared namespace before /pause itself is gone. Who hears of their exit must
    already know why, or would start them again in a sandbox that is no more."""
    sandbox = engine.table.sandboxes.get(sandbox_id)
    if sandbox is not None and sandbox.pause is not None and not sandbox.pause.alive:
        sandbox_died(engine, sandbox)


async def _end_leftovers(engine: Engine, container: Container) -> None:
    waited = 0.0
    while not await engine.kernel.kill_cgroup(container.record.cgroup, _LEFTOVERS):
        waited += _LEFTOVERS
        _log.error("processes of container %s do not die in cgroup %s", container.id, container.record.cgroup)
        if waited >= _LEFTOVERS_GIVE_UP:
            container.record.message = f"processes in cgroup {container.record.cgroup} could not be killed"
            return


async def _exit_code(engine: Engine, container: Container) -> int | None:
    supervisor = engine.handler(container.record.handler).supervisor
    deadline = engine.clock.monotonic() + _EXIT_FILE
    while (code := supervisor.exit_code(container.id)) is None:
        if container.conmon is None or not container.conmon.alive or engine.clock.monotonic() > deadline:
            # Once more: it may have written the file and ended between the two looks.
            return supervisor.exit_code(container.id)
        await asyncio.sleep(_EXIT_FILE_POLL)
    return code


async def check_started(engine: Engine, container: Container) -> None:
    """The seccomp filter is the last thing that a runtime installs, so it is read back after the start: a container without it ends."""
    config = engine.runtime_config(engine.settings.container_dir(container.id))
    if config is None:
        return
    deadline = engine.clock.monotonic() + _FILTER
    while True:
        try:
            engine.kernel.verify_started(container.record.pid, config)
        except PolongError as error:
            if container.over.is_set():
                return
            if engine.clock.monotonic() > deadline:
                _log.error("container %s is killed: %s", container.id, error)
                container.record.message = error.message
                await engine.kernel.kill_cgroup(container.record.cgroup, _LEFTOVERS)
                return
        else:
            return
        await asyncio.sleep(_FILTER_POLL)


def _conclude(engine: Engine, container: Container, code: int | None) -> None:
    record = container.record
    if container.start_error:
        record.exit_code, record.reason, record.message = 128, "StartError", container.start_error
        return
    if code is None:
        record.exit_code, record.reason = UNKNOWN_EXIT_CODE, "ContainerStatusUnknown"
        record.message = record.message or "the container ended while nobody could see how: its exit code is not known"
        return
    record.exit_code = code
    record.reason = exit_reason(code, oom_killed=code != 0 and engine.kernel.oom_kills(record.cgroup) > 0)


def rewrite_start_error(engine: Engine, container: Container) -> None:
    """The exit was recorded before it was known that the start had failed: tell it as a start that failed."""
    _conclude(engine, container, None)
    _saved(lambda: engine.save_container(container), f"container {container.id}")


def _saved(save: Callable[[], None], what: str) -> None:
    try:
        save()
    except OSError as error:
        # The truth is in memory and in the exit file; the next start finds it there again.
        _log.error("cannot record %s: %s", what, error)
