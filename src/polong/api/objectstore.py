"""Objects over the key-value store: keys, encoding, resourceVersions, compare-and-swap. Knows kinds, not verbs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from polong.api import status
from polong.api.decoded import Decoded
from polong.api.resources.kind import Kind
from polong.api.stored import Stored, arranged
from polong.kit import errors
from polong.store.interface import KeyValue, Storage, Watch

Json = dict[str, Any]

MAX_BYTES = 3 * 1024 * 1024
"""Of one object as it is stored, with its managers; patches could make it grow without end."""


@dataclass(frozen=True)
class Listing:
    """`after` is the last key, for a continue token."""

    stored: Sequence[Stored]
    revision: int
    more: bool
    remaining: int
    after: str

    @property
    def items(self) -> list[Json]:
        """All of them decoded."""
        return [each.object() for each in self.stored]


class ObjectStore:
    """What it returns is shared (a decoded object serves every reader of its revision): copy before changing."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.writes: Counter[str] = Counter()
        """How often something was written, by `Kind.storage`: whoever keeps a digest of a kind sees here that it is stale."""
        self._decoded = Decoded()

    def prefix(self, kind: Kind, namespace: str = "") -> str:
        return f"/{kind.storage}/{namespace}/" if namespace else f"/{kind.storage}/"

    def key(self, kind: Kind, namespace: str, name: str) -> str:
        return self.prefix(kind, namespace if kind.resource.namespaced else "") + name

    def decode(self, kind: Kind, key: str, value: bytes, revision: int, *, listed: bool = False) -> Json:
        """The object of one revision of a key, with its resourceVersion. What is `listed` among many makes no other forgotten."""
        stored = self._decoded.get(key, revision)
        if stored is None:
            stored = msgspec.json.decode(value, type=dict[str, Any])
            stored["metadata"]["resourceVersion"] = str(revision)
            self._decoded.keep(key, revision, stored, len(value), if_room=listed)
        return kind.from_storage(stored)

    def stored(self, kind: Kind, key: str, value: bytes, revision: int) -> Stored:
        return Stored(kind, value, revision, partial(self.decode, kind, key, value, revision, listed=True))

    def _encode(self, kind: Kind, obj: Json) -> tuple[Json, bytes]:
        stored = arranged(kind.to_storage(obj))
        stored["metadata"] = {name: value for name, value in obj["metadata"].items() if name != "resourceVersion"}
        value = msgspec.json.encode(stored)
        if len(value) > MAX_BYTES:
            raise errors.TooLarge(f"Request entity too large: limit is {MAX_BYTES}, the {kind.resource.kind} would be {len(value)}")
        return stored, value

    def _written(self, kind: Kind, key: str, stored: Json, size: int, revision: int) -> Json:
        stored["metadata"]["resourceVersion"] = str(revision)
        self._decoded.keep(key, revision, stored, size)
        self.writes[kind.storage] += 1
        return kind.from_storage(stored)

    async def find(self, kind: Kind, namespace: str, name: str) -> tuple[Json, int] | None:
        """The object and its revision."""
        found = await self.storage.get(self.key(kind, namespace, name))
        return None if found is None else (self.decode(kind, found.key, found.value, found.revision), found.revision)

    async def get(self, kind: Kind, namespace: str, name: str) -> tuple[Json, int]:
        found = await self.find(kind, namespace, name)
        if found is None:
            raise status.not_found(kind.resource, name)
        return found

    async def get_stored(self, kind: Kind, namespace: str, name: str) -> Stored:
        found = await self.storage.get(self.key(kind, namespace, name))
        if found is None:
            raise status.not_found(kind.resource, name)
        return self._of(kind, found)

    def _of(self, kind: Kind, found: KeyValue) -> Stored:
        return self.stored(kind, found.key, found.value, found.revision)

    async def page(self, kind: Kind, namespace: str, *, limit: int = 0, after: str = "", revision: int = 0) -> Listing:
        page = await self.storage.list(self.prefix(kind, namespace), limit=limit, after=after, revision=revision)
        stored = [self._of(kind, item) for item in page.items]
        return Listing(stored, page.revision, page.more, page.remaining, page.items[-1].key if page.items else "")

    async def create(self, kind: Kind, obj: Json) -> Json:
        metadata = obj["metadata"]
        key = self.key(kind, metadata.get("namespace", ""), metadata["name"])
        stored, value = self._encode(kind, obj)
        try:
            revision = await self.storage.create(key, value)
        except errors.AlreadyExists:
            raise status.already_exists(kind.resource, metadata["name"]) from None
        return self._written(kind, key, stored, len(value), revision)

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
        self._decoded.drop(key, expected)
        return self._written(kind, key, stored, len(value), revision)

    async def delete(self, kind: Kind, obj: Json, expected: int) -> Json:
        """The object as it was, at the revision of its deletion."""
        metadata = obj["metadata"]
        key = self.key(kind, metadata.get("namespace", ""), metadata["name"])
        try:
            revision = await self.storage.delete(key, expected)
        except errors.Conflict:
            raise status.modified(kind.resource, metadata["name"]) from None
        except errors.NotFound:
            raise status.not_found(kind.resource, metadata["name"]) from None
        self._decoded.drop(key, expected)
        self.writes[kind.storage] += 1
        return {**obj, "metadata": {**metadata, "resourceVersion": str(revision)}}

    def watch(self, kind: Kind, namespace: str, revision: int) -> Watch:
        return self.storage.watch(self.prefix(kind, namespace), revision)

    async def revision(self) -> int:
        return await self.storage.revision()
