"""Objects over the key-value store: keys, encoding, resourceVersions, compare-and-swap. Knows kinds, not verbs."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from polong.api import status
from polong.api.resources.kind import Kind
from polong.kit import errors
from polong.store.interface import KeyValue, Storage, Watch

Json = dict[str, Any]

_CACHED = 4096

MAX_BYTES = 3 * 1024 * 1024
"""Of one object as it is stored, with its managers; patches could make it grow without end."""


@dataclass(frozen=True)
class Listing:
    """`after` is the last key, for a continue token."""

    items: Sequence[Json]
    revision: int
    more: bool
    remaining: int
    after: str


class ObjectStore:
    """What it returns is shared (a decoded object serves every reader of its revision): copy before changing."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.writes: Counter[str] = Counter()
        """How often something was written, by `Kind.storage`: whoever keeps a digest of a kind sees here that it is stale."""
        self._decoded: OrderedDict[tuple[str, int], Json] = OrderedDict()

    def prefix(self, kind: Kind, namespace: str = "") -> str:
        return f"/{kind.storage}/{namespace}/" if namespace else f"/{kind.storage}/"

    def key(self, kind: Kind, namespace: str, name: str) -> str:
        return self.prefix(kind, namespace if kind.resource.namespaced else "") + name

    def decode(self, kind: Kind, key: str, value: bytes, revision: int) -> Json:
        """The object of one revision of a key, with its resourceVersion."""
        stored = self._decoded.get((key, revision))
        if stored is None:
            stored = msgspec.json.decode(value, type=dict[str, Any])
            stored["metadata"]["resourceVersion"] = str(revision)
            self._remember(key, revision, stored)
        return kind.from_storage(stored)

    def _remember(self, key: str, revision: int, stored: Json) -> None:
        self._decoded[key, revision] = stored
        if len(self._decoded) > _CACHED:
            self._decoded.popitem(last=False)

    def _encode(self, kind: Kind, obj: Json) -> tuple[Json, bytes]:
        stored = dict(kind.to_storage(obj))
        stored["metadata"] = {name: value for name, value in obj["metadata"].items() if name != "resourceVersion"}
        value = msgspec.json.encode(stored)
        if len(value) > MAX_BYTES:
            raise errors.TooLarge(f"Request entity too large: limit is {MAX_BYTES}, the {kind.resource.kind} would be {len(value)}")
        return stored, value

    def _written(self, kind: Kind, key: str, stored: Json, revision: int) -> Json:
        stored["metadata"]["resourceVersion"] = str(revision)
        self._remember(key, revision, stored)
        self.writes[kind.storage] += 1
        return kind.from_storage(stored)

    async def find(self, kind: Kind, namespace: str, name: str) -> tuple[Json, int] | None:
        """The object and its revision."""
        found = await self.storage.get(self.key(kind, namespace, name))
        return None if found is None else (self._of(kind, found), found.revision)

    def _of(self, kind: Kind, found: KeyValue) -> Json:
        return self.decode(kind, found.key, found.value, found.revision)

    async def get(self, kind: Kind, namespace: str, name: str) -> tuple[Json, int]:
        found = await self.find(kind, namespace, name)
        if found is None:
            raise status.not_found(kind.resource, name)
        return found

    async def page(self, kind: Kind, namespace: str, *, limit: int = 0, after: str = "", revision: int = 0) -> Listing:
        page = await self.storage.list(self.prefix(kind, namespace), limit=limit, after=after, revision=revision)
        items = [self._of(kind, item) for item in page.items]
        return Listing(items, page.revision, page.more, page.remaining, page.items[-1].key if page.items else "")

    async def create(self, kind: Kind, obj: Json) -> Json:
        metadata = obj["metadata"]
        key = self.key(kind, metadata.get("namespace", ""), metadata["name"])
        stored, value = self._encode(kind, obj)
        try:
            revision = await self.storage.create(key, value)
        except errors.AlreadyExists:
            raise status.already_exists(kind.resource, metadata["name"]) from None
        return self._written(kind, key, stored, revision)

    async def update(self, kind: Kind, obj: Json, expected: int) -> Json:
        """Conflict where the object is no longer at revision `expected`."""
        metadata = obj["metadata"]
        key = self.key(kind, metadata.get("namespace", ""), metadata["name"])
        stored, value = self._encode(kind, obj)
        try:
            revision = await self.storage.update(key, value, expected)
        except errors.Conflict:
            raise status.modified(kind.resource, metadata["name"]) from None
        except errors.NotFound:
            raise status.not_found(kind.resource, metadata["name"]) from None
        return self._written(kind, key, stored, revision)

    async def delete(self, kind: Kind, obj: Json, expected: int) -> Json:
        """The object as it was, at the revision of its deletion."""
        metadata = obj["metadata"]
        try:
            revision = await self.storage.delete(self.key(kind, metadata.get("namespace", ""), metadata["name"]), expected)
        except errors.Conflict:
            raise status.modified(kind.resource, metadata["name"]) from None
        except errors.NotFound:
            raise status.not_found(kind.resource, metadata["name"]) from None
        self.writes[kind.storage] += 1
        return {**obj, "metadata": {**metadata, "resourceVersion": str(revision)}}

    def watch(self, kind: Kind, namespace: str, revision: int) -> Watch:
        return self.storage.watch(self.prefix(kind, namespace), revision)

    async def revision(self) -> int:
        return await self.storage.revision()
