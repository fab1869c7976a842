"""Decoded objects that are worth keeping: bounded by the bytes that they were made from."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

Json = dict[str, Any]

MAX_BYTES = 8 << 20
"""Of encoded objects. Decoded, they take about eight times as much."""


class Decoded:
    """By key and revision; what was used last stays longest."""

    def __init__(self, limit: int = MAX_BYTES) -> None:
        self._limit = limit
        self._bytes = 0
        self._objects: OrderedDict[tuple[str, int], tuple[Json, int]] = OrderedDict()

    def get(self, key: str, revision: int) -> Json | None:
        found = self._objects.get((key, revision))
        if found is None:
            return None
        self._objects.move_to_end((key, revision))
        return found[0]

    def keep(self, key: str, revision: int, obj: Json, size: int, *, if_room: bool = False) -> None:
        """`if_room`: only where nothing else has to go for it, as one long list would otherwise push out everything."""
        self.drop(key, revision)
        if if_room and self._bytes + size > self._limit:
            return
        self._objects[key, revision] = (obj, size)
        self._bytes += size
        while self._bytes > self._limit:
            _, (_, gone) = self._objects.popitem(last=False)
            self._bytes -= gone

    def drop(self, key: str, revision: int) -> None:
        found = self._objects.pop((key, revision), None)
        if found is not None:
            self._bytes -= found[1]
