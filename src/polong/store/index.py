"""The current state in memory: what `get` and `list` answer from, without a thread hop. The log is the truth; this follows it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

from polong.store.interface import Event, KeyValue, Page

# Greater than every key that continues a prefix: U+10FFFF is a non-character, which no Kubernetes name holds.
AFTER_ALL = "\U0010ffff"


class Index:
    """Keys in order and their last values."""

    def __init__(self) -> None:
        self._values: dict[str, KeyValue] = {}
        self._keys: list[str] = []

    def load(self, items: list[KeyValue]) -> None:
        self._values = {item.key: item for item in items}
        self._keys = sorted(self._values)

    def get(self, key: str) -> KeyValue | None:
        return self._values.get(key)

    def apply(self, event: Event) -> None:
        """Follow one committed change."""
        before = self._values.get(event.key)
        if event.value is None:
            if before is not None:
                del self._values[event.key]
                del self._keys[bisect_left(self._keys, event.key)]
            return
        if before is None:
            insort(self._keys, event.key)
        created = event.revision if before is None else before.created
        self._values[event.key] = KeyValue(event.key, event.value, event.revision, created)

    def page(self, prefix: str, *, limit: int, after: str, revision: int) -> Page:
        start = bisect_left(self._keys, prefix) if after < prefix else bisect_right(self._keys, after)
        end = bisect_left(self._keys, prefix + AFTER_ALL)
        stop = min(end, start + limit) if limit else end
        items = [self._values[key] for key in self._keys[start:stop]]
        return Page(items, revision, more=stop < end, remaining=max(0, end - stop))
