"""Statuses on their way to the API: the newest wins, one write in flight for each Pod, never on the path of a worker.

A status that is not urgent waits a moment, so that the one which follows at once saves a write.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

from polong.kit.clock import Clock
from polong.kit.errors import Conflict, NotFound, PolongError
from polong.kit.tasks import Tasks
from polong.kubelet.ports import PodWrites
from polong.kubelet.status import status_patch
from polong.objects import pod as pods

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_SETTLE = 0.25
_RETRY = 1.0


@dataclass
class _Entry:
    pod: Json
    sent: Json
    wanted: Json
    urgent: asyncio.Event = field(default_factory=asyncio.Event)
    written: asyncio.Event = field(default_factory=asyncio.Event)
    running: bool = False
    gone: bool = False


class Reports:
    def __init__(self, api: PodWrites, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._tasks = Tasks("reports")

    async def aclose(self) -> None:
        await self._tasks.aclose()

    def put(self, pod: Json, status: Json, *, urgent: bool = False) -> None:
        """`pod["status"]` is what the API is known to hold, the first time."""
        uid = pods.uid(pod)
        entry = self._entries.get(uid)
        if entry is None:
            entry = self._entries[uid] = _Entry(pod, pods.status(pod), status)
        entry.pod, entry.wanted = pod, status
        if urgent:
            entry.urgent.set()
        if entry.gone or entry.running or status_patch(pod, entry.sent, status) is None:
            return
        entry.running = True
        entry.written.clear()
        _ = self._tasks.start(self._write(entry), f"status {pods.name(pod)}")

    async def flush(self, uid: str) -> None:
        """Until the newest status of that Pod was written, or its object is gone."""
        entry = self._entries.get(uid)
        if entry is not None and entry.running:
            entry.urgent.set()
            await entry.written.wait()

    def forget(self, uid: str) -> None:
        if entry := self._entries.pop(uid, None):
            entry.gone = True
            entry.urgent.set()

    async def _write(self, entry: _Entry) -> None:
        try:
            if not entry.urgent.is_set():
                try:
                    async with asyncio.timeout(_SETTLE):
                        await entry.urgent.wait()
                except TimeoutError:
                    pass
            while not entry.gone and (patch := status_patch(entry.pod, entry.sent, entry.wanted)) is not None:
                entry.urgent.clear()
                await self._send(entry, patch)
        finally:
            entry.running = False
            entry.written.set()

    async def _send(self, entry: _Entry, patch: Json) -> None:
        status = entry.wanted
        try:
            await self._api.patch_pod_status(pods.namespace(entry.pod), pods.name(entry.pod), patch)
            entry.sent = status
        except (NotFound, Conflict):
            # Deleted, or another Pod of that name.
            entry.gone = True
        except PolongError as error:
            _log.warning("cannot write the status of Pod %s: %s", pods.name(entry.pod), error)
            await self._clock.sleep(_RETRY)
