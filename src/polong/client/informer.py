"""All objects of one resource, kept true by a stream of changes: what a reader asks who cannot wait for an answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from polong.kit.clock import Clock
from polong.kit.errors import PolongError

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_AGAIN = 1.0


class Informer:
    """`changes` gives a stream as `kubelet.ports.Api` has them: (type, object), and ("SYNCED", {}) after each list. `told` is called after
    each change once the first list is in."""

    def __init__(self, changes: Callable[[], AsyncIterator[tuple[str, Json]]], told: Callable[[], None], clock: Clock) -> None:
        self._changes = changes
        self._told = told
        self._clock = clock
        self.objects: dict[tuple[str, str], Json] = {}
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Forever."""
        while True:
            try:
                async with aclosing(self._changes()) as changes:  # type: ignore[type-var]
                    async for kind, obj in changes:
                        self._take(kind, obj)
            except PolongError as error:
                _log.warning("a watch ended: %s", error)
            await self._clock.sleep(_AGAIN)

    def _take(self, kind: str, obj: Json) -> None:
        if kind == "SYNCED":
            self.synced.set()
        else:
            key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
            if kind == "DELETED":
                self.objects.pop(key, None)
            else:
                self.objects[key] = obj
        if self.synced.is_set():
            self._told()
