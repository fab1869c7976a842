"""Storage on SQLite: one thread owns the only connection, and many waiting writers share one transaction.

Reads of the present come from memory (`index.py`), which follows each commit before its writer is answered. The thread alone writes,
reads history, compacts and checkpoints: no second connection can keep the write-ahead log from being cut, nor race with its reset
(SQLite before 3.51.3). WAL with synchronous=FULL: an acknowledged write survives a power cut.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from polong.kit import errors
from polong.kit.clock import Clock, SystemClock
from polong.kit.tasks import Tasks
from polong.store.broadcaster import Broadcaster, Subscription
from polong.store.compaction import Retention, Schedule
from polong.store.index import Index
from polong.store.interface import Event, KeyValue, Page, Storage
from polong.store.log import Write
from polong.store.writer import Outcome, Writer

T = TypeVar("T")

# Writes that may wait for the disk at a time.
MAX_WAITING = 4096

_log = logging.getLogger(__name__)


class SQLiteStorage:
    """Made by `open`. Belongs to the event loop that opened it."""

    def __init__(self, writer: Writer, retention: Retention, clock: Clock) -> None:
        self._writer = writer
        self._retention = retention
        self._clock = clock
        self._index = Index()
        self._index.load(writer.log.current())
        self._revision = writer.log.revision
        self._readers = Broadcaster()
        self._tasks = Tasks("storage")
        self._waiting: set[asyncio.Future[Any]] = set()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        writer.start(self._deliver)
        self._compaction = self._tasks.start(self._compact_now_and_then(), "compaction")

    @classmethod
    async def open(cls, path: Path, *, retention: Retention | None = None, clock: Clock | None = None) -> Self:
        """Open or make the database at `path` (mode 0600, its directory 0700).

        FailedPrecondition where another process has it open, a newer version wrote it, or it is damaged.
        """
        writer = await asyncio.to_thread(Writer, path)
        try:
            return cls(writer, retention or Retention(), clock or SystemClock())
        except BaseException:
            writer.abandon()
            raise

    async def get(self, key: str) -> KeyValue | None:
        return self._index.get(key)

    async def list(self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0) -> Page:
        if revision in (0, self._revision):
            return self._index.page(prefix, limit=limit, after=after, revision=self._revision)
        return await self._read(lambda: self._writer.log.at(prefix, revision, after=after, limit=limit))

    async def create(self, key: str, value: bytes) -> int:
        return await self._write(Write("create", key, value))

    async def update(self, key: str, value: bytes, expected: int) -> int:
        return await self._write(Write("update", key, value, expected))

    async def delete(self, key: str, expected: int = 0) -> int:
        return await self._write(Write("delete", key, None, expected))

    def watch(self, prefix: str, revision: int) -> Subscription:
        return self._readers.join(prefix, revision, self._revision, self._history)

    async def revision(self) -> int:
        return self._revision

    async def compact(self, revision: int) -> None:
        while await self._read(lambda: self._writer.log.forget(revision)):
            pass

    async def aclose(self) -> None:
        """Finish what was asked, checkpoint, release the lock. Idempotent."""
        if self._closed:
            return
        self._closed = True
        await self._tasks.aclose()
        await asyncio.to_thread(self._writer.close)
        for future in list(self._waiting):
            if not future.done():
                future.set_exception(errors.Unavailable("storage is closed"))
        self._readers.close()

    async def _write(self, write: Write) -> int:
        if len(self._waiting) >= MAX_WAITING:
            raise errors.Unavailable(f"storage is overloaded: {MAX_WAITING} writes wait for the disk; try again")
        future: asyncio.Future[int] = self._promise()
        self._writer.put((write, future))
        return await future

    async def _read(self, job: Callable[[], T]) -> T:
        future: asyncio.Future[T] = self._promise()
        self._writer.put((job, future))
        return await future

    def _promise(self) -> asyncio.Future[Any]:
        if self._closed:
            raise errors.Unavailable("storage is closed")
        future = self._loop.create_future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        return future

    def _deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Called by the thread, after the commit."""
        try:
            self._loop.call_soon_threadsafe(self._settle, outcomes)
        except RuntimeError:  # the loop is gone: so is everyone who waited
            _log.debug("nobody waits for %d writes", len(outcomes))

    def _settle(self, outcomes: Sequence[Outcome]) -> None:
        events = [result for _, result in outcomes if isinstance(result, Event)]
        for event in events:
            self._index.apply(event)
            self._revision = event.revision
        if events:
            self._readers.publish(events)
        for future, result in outcomes:
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result.revision if isinstance(result, Event) else result)

    async def _history(self, prefix: str, after: int, upto: int) -> Sequence[Event]:
        return await self._read(lambda: self._writer.log.after(prefix, after, upto))

    async def _compact_now_and_then(self) -> None:
        schedule = Schedule(self._retention)
        while True:
            await self._clock.sleep(min(60.0, self._retention.seconds / 5))
            revision = schedule.due(self._clock.monotonic(), self._revision)
            if not revision:
                continue
            try:
                await self.compact(revision)
            except errors.PolongError as error:
                _log.warning("cannot compact the storage: %s", error)


_: type[Storage] = SQLiteStorage
