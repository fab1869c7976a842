"""Events that expire."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from polong.api.objectstore import ObjectStore
from polong.api.resources.events import TTL_SECONDS, Events
from polong.kit.clock import Clock, parse_rfc3339
from polong.kit.errors import Conflict, NotFound

Json = dict[str, Any]

SWEEP_SECONDS = 60.0

_EVENTS = Events()


class Expiry:
    def __init__(self, store: ObjectStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self) -> None:
        """Forever."""
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            await self.expire()

    async def expire(self) -> None:
        """Delete Events that nothing has repeated for an hour."""
        oldest = self._clock.now() - timedelta(seconds=TTL_SECONDS)
        page = await self._store.page(_EVENTS, "")
        for event in page.items:
            if _last_seen(event) < oldest:
                try:
                    await self._store.delete(_EVENTS, event, int(event["metadata"]["resourceVersion"]))
                except (Conflict, NotFound):
                    continue
                await asyncio.sleep(0)


def _last_seen(event: Json) -> datetime:
    series = event.get("series") or {}
    created = event["metadata"]["creationTimestamp"]
    for text in (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"), created):
        if text:
            try:
                return max(parse_rfc3339(text), parse_rfc3339(created))
            except ValueError:
                continue
    return parse_rfc3339(created)
