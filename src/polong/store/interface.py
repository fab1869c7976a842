"""Seam S2: the storage that the API server needs. Keys are paths such as /pods/default/nginx; values are opaque bytes.

Revisions are one counter over the whole store: it grows with every write and never goes back, also across crashes. Compare-and-swap
by the revision of a key's last write. Shape after etcd3 (and k3s-io/kine).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class KeyValue:
    """`revision` is that of the last write to the key."""

    key: str
    value: bytes
    revision: int
    created: int


@dataclass(frozen=True)
class Page:
    """`revision` is the store's at the time of the list; `more` says that keys follow, `remaining` how many."""

    items: Sequence[KeyValue]
    revision: int
    more: bool = False
    remaining: int = 0


@dataclass(frozen=True)
class Event:
    """A change. For "delete", `value` is None; `previous` is the value before (None for "create")."""

    type: Literal["create", "update", "delete"]
    key: str
    value: bytes | None
    previous: bytes | None
    revision: int


class Watch(Protocol):
    """A subscription. Forgotten when dropped; `aclose` ends it at once (idempotent, the next step raises StopAsyncIteration).

    A step may be cancelled and taken again without losing an event. Events up to `Storage.revision()` wait in it already.
    """

    def __aiter__(self) -> AsyncIterator[Event]: ...

    async def __anext__(self) -> Event: ...

    async def aclose(self) -> None: ...


class Storage(Protocol):
    async def get(self, key: str) -> KeyValue | None: ...

    async def list(self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0) -> Page:
        """Keys under `prefix` in order, those greater than `after`; `revision` 0 is now, else the state at that revision (Gone where
        compacted)."""
        ...

    async def create(self, key: str, value: bytes) -> int:
        """The new revision, once durable. AlreadyExists."""
        ...

    async def update(self, key: str, value: bytes, expected: int) -> int:
        """Conflict where the key's revision is not `expected`, NotFound where it is gone."""
        ...

    async def delete(self, key: str, expected: int = 0) -> int:
        """`expected` 0 deletes whatever stands there. Conflict, NotFound."""
        ...

    def watch(self, prefix: str, revision: int) -> Watch:
        """Every event under `prefix` after `revision`, in order, without end. Gone (from the first step) where compacted, or where the
        reader falls too far behind."""
        ...

    async def revision(self) -> int: ...

    async def compact(self, revision: int) -> None:
        """Forget what was overwritten before `revision`."""
        ...

    async def aclose(self) -> None: ...
