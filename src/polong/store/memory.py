"""Storage without durability: for tests, and the second implementation that keeps the contract honest."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from polong.kit import errors
from polong.store.broadcaster import Broadcaster, Subscription
from polong.store.compaction import check_readable, check_resumable
from polong.store.index import Index
from polong.store.interface import Event, KeyValue, Page, Storage


class MemoryStorage:
    """All of `Storage` in the process; gone with it."""

    def __init__(self) -> None:
        self._index = Index()
        self._events: list[Event] = []
        self._base: dict[str, KeyValue] = {}
        self._revision = 0
        self._compacted = 0
        self._readers = Broadcaster()
        self._closed = False

    async def get(self, key: str) -> KeyValue | None:
        return self._index.get(key)

    async def list(self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0) -> Page:
        if revision in (0, self._revision):
            return self._index.page(prefix, limit=limit, after=after, revision=self._revision)
        check_readable(revision, self._compacted, self._revision)
        past = Index()
        past.load(list(self._base.values()))
        for event in self._events:
            if event.revision > revision:
                break
            past.apply(event)
        return past.page(prefix, limit=limit, after=after, revision=revision)

    async def create(self, key: str, value: bytes) -> int:
        if self._index.get(key) is not None:
            raise errors.AlreadyExists(f"key {key} exists")
        return self._commit(Event("create", key, value, None, self._revision + 1))

    async def update(self, key: str, value: bytes, expected: int) -> int:
        before = self._expect(key, expected)
        return self._commit(Event("update", key, value, before.value, self._revision + 1))

    async def delete(self, key: str, expected: int = 0) -> int:
        before = self._expect(key, expected or None)
        return self._commit(Event("delete", key, None, before.value, self._revision + 1))

    def _expect(self, key: str, expected: int | None) -> KeyValue:
        before = self._index.get(key)
        if before is None:
            raise errors.NotFound(f"no key {key}")
        if expected is not None and before.revision != expected:
            raise errors.Conflict(f"key {key} is at revision {before.revision}, not {expected}")
        return before

    def _commit(self, event: Event) -> int:
        if self._closed:
            raise errors.Unavailable("storage is closed")
        self._revision = event.revision
        self._events.append(event)
        self._index.apply(event)
        self._readers.publish([event])
        return event.revision

    def watch(self, prefix: str, revision: int) -> Subscription:
        return self._readers.join(prefix, revision, self._revision, self._history)

    async def _history(self, prefix: str, after: int, upto: int) -> Sequence[Event]:
        check_resumable(after, self._compacted)
        return [event for event in self._events if after < event.revision <= upto and event.key.startswith(prefix)]

    async def revision(self) -> int:
        return self._revision

    async def compact(self, revision: int) -> None:
        if revision <= self._compacted:
            return
        self._compacted = min(revision, self._revision)
        cut = bisect_right(self._events, self._compacted, key=lambda event: event.revision)
        base = Index()
        base.load(list(self._base.values()))
        for event in self._events[:cut]:
            base.apply(event)
        self._base = {item.key: item for item in base.page("", limit=0, after="", revision=0).items}
        del self._events[:cut]

    async def aclose(self) -> None:
        self._closed = True
        self._readers.close()


_: type[Storage] = MemoryStorage
