"""Which images the node has and what they are called: one durable record, `index.json`, changed whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polong.images import records, reference
from polong.images.digest import Digest
from polong.images.manifest import Configuration
from polong.images.model import Image
from polong.kit.errors import BadRequest, Invalid

Json = dict[str, Any]

_PREFIX_MINIMUM = 4
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Entry:
    """`target` is what the name led to (an index or the manifest itself); `blobs` all content that the image needs, in bytes `size`."""

    id: Digest
    target: Digest
    manifest: Digest
    blobs: tuple[Digest, ...]
    chains: tuple[Digest, ...]
    size: int
    configuration: Configuration
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()

    def image(self) -> Image:
        return Image(str(self.id), self.tags, self.digests, self.size, self.configuration.config)


class Catalog:
    """In memory; `save` writes it. A tag names one image, an image may have many names."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[Digest, Entry] = {}

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def get(self, identifier: Digest) -> Entry | None:
        return self._entries.get(identifier)

    def put(self, entry: Entry, *, tags: Iterable[str] = (), digests: Iterable[str] = ()) -> Entry:
        """Add an image, or names to it; a tag leaves the image that had it. An image left without names keeps its digests."""
        tags = tuple(tags)
        for other in self:
            if other.id != entry.id and set(other.tags) & set(tags):
                self._entries[other.id] = replace(other, tags=tuple(tag for tag in other.tags if tag not in tags))
        known = self._entries.get(entry.id)
        old_tags, old_digests = (known.tags, known.digests) if known else ((), ())
        merged = replace(entry, tags=tuple(dict.fromkeys((*old_tags, *tags))), digests=tuple(dict.fromkeys((*old_digests, *digests))))
        self._entries[entry.id] = merged
        return merged

    def find(self, text: str) -> Entry | None:
        """By name, by digest, by id, or by a prefix of the id that only one image has (Invalid where several do)."""
        try:
            wanted = str(reference.parse(text))
        except BadRequest:
            wanted = ""
        for entry in self._entries.values():
            if wanted and (wanted in entry.tags or wanted in entry.digests):
                return entry
        prefix = text.removeprefix("sha256:")
        if len(prefix) < _PREFIX_MINIMUM or not set(prefix) <= _HEX:
            return None
        found = [entry for entry in self._entries.values() if entry.id.hex.startswith(prefix)]
        if len(found) > 1:
            raise Invalid(f"image id {text!r} is ambiguous: {len(found)} images begin so")
        return found[0] if found else None

    def remove(self, text: str) -> Entry | None:
        """A tag, where others are left; the whole image where it was the last, or where `text` is no tag. What was there before."""
        entry = self.find(text)
        if entry is None:
            return None
        try:
            tag = str(reference.parse(text))
        except BadRequest:
            tag = ""
        left = tuple(name for name in entry.tags if name != tag)
        if tag in entry.tags and left:
            self._entries[entry.id] = replace(entry, tags=left)
        else:
            del self._entries[entry.id]
        return entry

    def save(self) -> None:
        """Durable on return; blocking."""
        records.write(self._path, {"images": [_encode(entry) for entry in self._entries.values()]})

    @staticmethod
    def encoded(path: Path) -> list[Json]:
        """The stored entries, for `restore`; none where there is no record or a damaged one."""
        value = records.read(path) or {}
        images = value.get("images", [])
        return images if isinstance(images, list) else []

    def restore(self, stored: Json, configuration: Configuration) -> None:
        """One entry of `encoded` with the configuration that its `id` names. KeyError, ValueError where it is malformed."""
        entry = Entry(
            Digest.parse(stored["id"]),
            Digest.parse(stored["target"]),
            Digest.parse(stored["manifest"]),
            tuple(Digest.parse(text) for text in stored["blobs"]),
            tuple(Digest.parse(text) for text in stored["chains"]),
            stored["size"],
            configuration,
            tuple(stored["tags"]),
            tuple(stored["digests"]),
        )
        self._entries[entry.id] = entry


def _encode(entry: Entry) -> Json:
    return {
        "id": str(entry.id),
        "target": str(entry.target),
        "manifest": str(entry.manifest),
        "blobs": [str(digest) for digest in entry.blobs],
        "chains": [str(digest) for digest in entry.chains],
        "size": entry.size,
        "tags": list(entry.tags),
        "digests": list(entry.digests),
    }
