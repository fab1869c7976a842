"""Watches Services and EndpointSlices and has the node's rules written after each change; changes that come together are one write."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from polong.client.informer import Informer
from polong.cni.services import ServicePort
from polong.kit.clock import Clock, SystemClock
from polong.kit.errors import PolongError
from polong.kit.tasks import Tasks
from polong.proxy import plan

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_TOGETHER = 0.05
_AGAIN = 5.0


class Api(Protocol):
    """Streams as those of `kubelet.ports.Api`."""

    def services(self) -> AsyncIterator[tuple[str, Json]]: ...

    def endpoint_slices(self) -> AsyncIterator[tuple[str, Json]]: ...


class Rules(Protocol):
    async def serve(self, ports: Sequence[ServicePort]) -> None:
        """Lead the packets of these ports, and of no other Service. Idempotent. Unavailable."""
        ...


class Proxier:
    def __init__(self, api: Api, rules: Rules, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._rules = rules
        self._services = Informer(api.services, self._told, self._clock)
        self._slices = Informer(api.endpoint_slices, self._told, self._clock)
        self._wake = asyncio.Event()
        self._tasks = Tasks("proxy")

    def start(self) -> None:
        for name, work in (("services", self._services.run()), ("slices", self._slices.run()), ("rules", self._run())):
            _ = self._tasks.start(work, name)

    async def aclose(self) -> None:
        """The rules stay: Pods run on, and so do their Services."""
        await self._tasks.aclose()

    def _told(self) -> None:
        self._wake.set()

    async def _run(self) -> None:
        await self._services.synced.wait()
        await self._slices.synced.wait()
        written: list[ServicePort] | None = None
        while True:
            self._wake.clear()
            wanted = plan.ports(self._services.objects.values(), self._slices.objects.values())
            if wanted != written:
                try:
                    await self._rules.serve(wanted)
                    written = wanted
                except PolongError as error:
                    _log.warning("cannot lead the packets of Services, trying again: %s", error)
                    await self._clock.sleep(_AGAIN)
                    continue
            await self._wake.wait()
            await self._clock.sleep(_TOGETHER)
