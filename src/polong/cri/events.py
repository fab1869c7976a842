"""Fan-out of container events (RPC GetContainerEvents): every subscriber sees every event from its subscription on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from polong.criapi.wire import v1
from polong.kit.errors import Unavailable

_MOST_WAITING = 1_000


class _Subscriber:
    def __init__(self) -> None:
        self.queue: asyncio.Queue[v1.ContainerEventResponse | None] = asyncio.Queue()
        self.lost = False

    def put(self, event: v1.ContainerEventResponse | None) -> None:
        if event is not None and self.queue.qsize() >= _MOST_WAITING:
            # Dropping single events would leave the reader wrong for ever; ending the stream makes it list again.
            self.lost = True
            event = None
        self.queue.put_nowait(event)


class Events:
    """`subscribe` takes effect at the call, not at the first read: what happens between listing and reading is not missed."""

    def __init__(self) -> None:
        self._subscribers: set[_Subscriber] = set()
        self._closed = False

    def publish(self, event: v1.ContainerEventResponse) -> None:
        for subscriber in self._subscribers:
            if not subscriber.lost:
                subscriber.put(event)

    @property
    def wanted(self) -> bool:
        """Whether anyone listens: an event costs a status to make."""
        return bool(self._subscribers)

    def subscribe(self) -> AsyncIterator[v1.ContainerEventResponse]:
        """Events until `close`; Unavailable after one that was too slow to be kept up with."""
        subscriber = _Subscriber()
        if self._closed:
            subscriber.put(None)
        self._subscribers.add(subscriber)
        return self._read(subscriber)

    async def _read(self, subscriber: _Subscriber) -> AsyncIterator[v1.ContainerEventResponse]:
        try:
            while (event := await subscriber.queue.get()) is not None:
                yield event
            if subscriber.lost:
                raise Unavailable(f"more than {_MOST_WAITING} container events were waiting: list again")
        finally:
            self._subscribers.discard(subscriber)

    def close(self) -> None:
        """End every subscription. Idempotent."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.put(None)
