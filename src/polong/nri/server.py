"""The socket of NRI, and the plugins behind it, called one after the other in the order of their indexes.

While a plugin is told what is there already no event is under way, so that nothing is told twice and nothing is lost.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any

from polong.kit.errors import DeadlineExceeded, FailedPrecondition, PolongError, Unavailable, Unsupported
from polong.kit.tasks import Tasks
from polong.linux import unixsocket
from polong.nri.messages import message
from polong.nri.plugin import Plugin

_log = logging.getLogger(__name__)

REGISTRATION_SECONDS = 5.0
REQUEST_SECONDS = 10.0
_VERSION = "0.12.1"
_INDEX = re.compile(r"[0-9]{2}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,126}", re.ASCII)
_MOST_PLUGINS = 64


class Event(IntEnum):
    """NRI's numbers."""

    RUN_POD_SANDBOX = 1
    STOP_POD_SANDBOX = 2
    REMOVE_POD_SANDBOX = 3
    CREATE_CONTAINER = 4
    POST_CREATE_CONTAINER = 5
    START_CONTAINER = 6
    POST_START_CONTAINER = 7
    UPDATE_CONTAINER = 8
    POST_UPDATE_CONTAINER = 9
    STOP_CONTAINER = 10
    REMOVE_CONTAINER = 11


# Events with a method and an answer of their own; the others are told by StateChange.
_METHODS = {
    Event.CREATE_CONTAINER: ("CreateContainer", "CreateContainerResponse"),
    Event.UPDATE_CONTAINER: ("UpdateContainer", "ContainerResponse"),
    Event.STOP_CONTAINER: ("StopContainer", "ContainerResponse"),
}

Snapshot = Callable[[], tuple[list[Any], list[Any]]]
"""PodSandbox and Container messages of all that is there."""


class NriServer:
    """`start` after the runtime has taken over what is there: `snapshot` tells of it."""

    def __init__(self, snapshot: Snapshot, runtime_version: str) -> None:
        self._snapshot = snapshot
        self._version = runtime_version
        self._plugins: list[Plugin] = []
        self._telling = asyncio.Lock()
        self._tasks = Tasks("nri")
        self._server: asyncio.Server | None = None
        self._path: Path | None = None
        self._connected = 0

    async def start(self, path: Path) -> None:
        """As `unixsocket.bind`."""
        listener = unixsocket.bind(path)
        self._path = path
        self._server = await asyncio.start_unix_server(self._accept, sock=listener)

    async def aclose(self) -> None:
        """Idempotent."""
        if self._server is None or self._path is None:
            return
        self._server.close()
        for plugin in list(self._plugins):
            plugin.close()
        await self._tasks.aclose()
        self._path.unlink(missing_ok=True)
        self._server = self._path = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connected >= _MOST_PLUGINS:
            writer.close()
            return
        _ = self._tasks.start(self._serve(Plugin(reader, writer)), "plugin")

    async def _serve(self, plugin: Plugin) -> None:
        self._connected += 1
        reading = self._tasks.start(plugin.serve(), "read")
        try:
            await self._join(plugin)
            await asyncio.wait({reading})
        except (PolongError, TimeoutError) as error:
            _log.warning("NRI plugin %s is turned away: %s", plugin.name, error)
        finally:
            self._connected -= 1
            self._drop(plugin)
            await asyncio.wait({reading})

    def _drop(self, plugin: Plugin) -> None:
        plugin.close()
        if plugin in self._plugins:
            self._plugins.remove(plugin)
            _log.info("NRI plugin %s has left", plugin.name)

    async def _join(self, plugin: Plugin) -> None:
        """Registered, configured, told what is there; from then on it is told everything."""
        async with asyncio.timeout(REGISTRATION_SECONDS):
            await asyncio.wait({plugin.registered})
        if plugin.registered.cancelled():
            raise Unavailable("it left before it had registered")
        index, name = plugin.registered.result()
        if not _INDEX.fullmatch(index) or not _NAME.fullmatch(name):
            raise FailedPrecondition(f"it calls itself {name[:80]!r} with index {index[:10]!r}")
        plugin.name = f"{index}-{name}"
        configure = message(
            "ConfigureRequest",
            runtime_name="polong",
            runtime_version=self._version,
            registration_timeout=int(REGISTRATION_SECONDS * 1000),
            request_timeout=int(REQUEST_SECONDS * 1000),
            NRI_version=_VERSION,
        )
        configured = await plugin.call("Configure", configure, "ConfigureResponse", REGISTRATION_SECONDS)
        plugin.events = configured.events
        async with self._telling:
            pods, containers = self._snapshot()
            request = message("SynchronizeRequest", pods=pods, containers=containers)
            answer = await plugin.call("Synchronize", request, "SynchronizeResponse", REQUEST_SECONDS)
            _refuse_changes(plugin, answer.update)
            self._plugins.append(plugin)
            self._plugins.sort(key=lambda each: each.name)
        _log.info("NRI plugin %s has joined", plugin.name)

    async def tell(self, event: Event, pod: Any, container: Any = None, told: Callable[[], None] | None = None) -> None:  # noqa: ANN401
        """Every plugin that wants the event, in order; `told` is called once all know, before a plugin can join. FailedPrecondition where
        one refuses, Unsupported where one asks for a change; plugins that are gone or silent are left out from then on."""
        async with self._telling:
            for plugin in [each for each in self._plugins if each.wants(event)]:
                try:
                    await self._one(plugin, event, pod, container)
                except (Unavailable, DeadlineExceeded) as error:
                    _log.warning("%s: it is left out", error)
                    self._drop(plugin)
            if told is not None:
                told()

    async def _one(self, plugin: Plugin, event: Event, pod: Any, container: Any) -> None:  # noqa: ANN401 - messages
        if event not in _METHODS:
            change = message("StateChangeEvent", event=int(event), pod=pod, container=container)
            await plugin.call("StateChange", change, "Empty", REQUEST_SECONDS)
            return
        method, response = _METHODS[event]
        request = message("ContainerRequest", pod=pod, container=container)
        answer = await plugin.call(method, request, response, REQUEST_SECONDS)
        changes = [*answer.update, *answer.evict]
        if event is Event.CREATE_CONTAINER:
            changes.append(answer.adjust)
        _refuse_changes(plugin, changes)


def _refuse_changes(plugin: Plugin, changes: Any) -> None:  # noqa: ANN401 - messages
    if any(each.ByteSize() for each in changes):
        raise Unsupported(f"NRI plugin {plugin.name} asks to change a container: plugins may watch and refuse, not change")
