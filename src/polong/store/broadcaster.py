"""Watch fan-out: every committed change to every reader whose prefix it has; a reader that falls behind is dropped with Gone."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from polong.kit import errors
from polong.store.interface import Event

# What one reader may leave unread. Values are shared between readers, so the bytes count once in memory but for each reader here.
MAX_EVENTS = 4096
MAX_BYTES = 64 * 1024 * 1024

History = Callable[[str, int, int], Awaitable[Sequence[Event]]]
"""`history(prefix, after, upto)`: the events under `prefix` in (after, upto], in order; Gone where compacted."""


class Subscription:
    """One reader: first what the log holds after `revision`, then live changes, without gap or duplicate.

    It collects live changes from the moment it is made, hence the history is read only up to the revision at that moment.
    """

    def __init__(self, prefix: str, revision: int, joined: int, history: History) -> None:
        self.prefix = prefix
        self._after = revision
        self._joined = joined
        self._history = history
        self._queue: deque[Event] = deque()
        self._bytes = 0
        self._overflowed = False
        self._closed = False
        self._wake = asyncio.Event()

    def offer(self, event: Event) -> None:
        """Called by the broadcaster for each change under the prefix."""
        if self._closed or self._overflowed or event.revision <= self._after:
            return
        self._bytes += len(event.value or b"") + len(event.previous or b"")
        self._queue.append(event)
        if len(self._queue) > MAX_EVENTS or self._bytes > MAX_BYTES:
            self._overflowed = True
            self._queue.clear()
        self._wake.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        if self._after < self._joined:
            await self._replay()
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            if self._overflowed:
                raise errors.Gone("the watch fell too far behind; list again", reason="Expired")
            self._wake.clear()
            await self._wake.wait()
        event = self._queue.popleft()
        self._bytes -= len(event.value or b"") + len(event.previous or b"")
        return event

    async def _replay(self) -> None:
        missed = await self._history(self.prefix, self._after, self._joined)
        self._after = self._joined
        for event in reversed(missed):
            self._bytes += len(event.value or b"") + len(event.previous or b"")
            self._queue.appendleft(event)

    async def aclose(self) -> None:
        self.end()

    def end(self) -> None:
        self._closed = True
        self._queue.clear()
        self._wake.set()


class Broadcaster:
    """Holds readers weakly: one that its owner dropped costs nothing."""

    def __init__(self) -> None:
        self._readers: weakref.WeakSet[Subscription] = weakref.WeakSet()

    def join(self, prefix: str, revision: int, joined: int, history: History) -> Subscription:
        """A reader from `revision` on; `joined` is the revision that has been published last."""
        reader = Subscription(prefix, revision, joined, history)
        self._readers.add(reader)
        return reader

    def publish(self, events: Sequence[Event]) -> None:
        for reader in list(self._readers):
            for event in events:
                if event.key.startswith(reader.prefix):
                    reader.offer(event)

    def close(self) -> None:
        for reader in list(self._readers):
            reader.end()
