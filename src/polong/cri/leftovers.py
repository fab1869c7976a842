"""Taking away what a half-made or forgotten sandbox or container left, step by step; every step is tried, each may find nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from polong.cri import sandbox_files, volumes
from polong.cri.engine import Engine, Handler, remove_tree
from polong.kit.errors import NotFound

_log = logging.getLogger(__name__)

_DEATH = 10.0


async def container(engine: Engine, container_id: str, cgroup: str, handler_name: str) -> list[str]:
    """What could not be done, one line each. `cgroup` "" where it is not known."""
    handler = _handler(engine, handler_name)

    async def forget() -> None:
        handler.supervisor.forget(container_id)

    return await _each(
        container_id,
        ("supervisor", lambda: handler.supervisor.end(container_id)),
        ("processes", lambda: _end(engine, cgroup)),
        ("runtime state", lambda: handler.runtime.delete(container_id, force=True)),
        ("supervisor files", forget),
        ("root file system", lambda: engine.images.release_rootfs(container_id)),
        ("volumes", lambda: asyncio.to_thread(volumes.release, engine, container_id)),
        ("bundle", lambda: asyncio.to_thread(remove_tree, engine.settings.container_dir(container_id))),
        ("cgroup", lambda: _remove(engine, cgroup)),
    )


async def sandbox(engine: Engine, sandbox_id: str, cgroup: str, handler_name: str) -> list[str]:
    """As `container`."""
    handler = _handler(engine, handler_name)
    directory = engine.settings.sandbox_dir(sandbox_id)

    async def files() -> None:
        sandbox_files.unmake(engine.kernel, directory)
        await asyncio.to_thread(remove_tree, directory)

    return await _each(
        sandbox_id,
        ("processes", lambda: _end(engine, cgroup)),
        ("/pause", lambda: handler.runtime.delete(sandbox_id, force=True)),
        ("network", lambda: engine.network.detach(sandbox_id)),
        ("network namespace", lambda: engine.network.delete_namespace(sandbox_id)),
        ("files", files),
        ("cgroup", lambda: _remove(engine, cgroup)),
    )


def _handler(engine: Engine, name: str) -> Handler:
    try:
        return engine.handler(name)
    except NotFound:
        return engine.handler("")


async def _end(engine: Engine, cgroup: str) -> None:
    if cgroup:
        await engine.kernel.kill_cgroup(cgroup, _DEATH)


async def _remove(engine: Engine, cgroup: str) -> None:
    if cgroup:
        engine.kernel.remove_cgroup(cgroup)


async def _each(owner: str, *steps: tuple[str, Callable[[], Awaitable[object]]]) -> list[str]:
    failures = []
    for name, step in steps:
        try:
            await step()
        except Exception as error:
            _log.error("cannot remove the %s of %s: %s", name, owner, error)
            failures.append(f"{name}: {error}")
    return failures
