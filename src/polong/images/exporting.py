"""Write images as one tar that is an OCI layout and a docker-save archive at once, so that every tool reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from polong.images import manifest as documents
from polong.images.catalog import Entry
from polong.images.digest import Digest
from polong.images.manifest import Manifest
from polong.images.store import Store
from polong.kit import tarstream

Json = dict[str, Any]

_CHUNK = 1 << 20


async def export_archive(store: Store, entries: Sequence[tuple[Entry, Sequence[str]]]) -> AsyncIterator[bytes]:
    """Each image with the names to give it. The images must be held by the caller."""
    index: list[Json] = []
    saved: list[Json] = []
    content: dict[Digest, int] = {}
    for entry, names in entries:
        raw = await asyncio.to_thread(store.content.read, entry.manifest, documents.MANIFEST_LIMIT)
        media_type = msgspec.json.decode(raw).get("mediaType", documents.OCI_MANIFEST)
        parsed = documents.parse(raw, media_type)
        assert isinstance(parsed, Manifest)
        descriptor = {"mediaType": media_type, "digest": str(entry.manifest), "size": len(raw)}
        platform = {"architecture": entry.configuration.architecture, "os": entry.configuration.os}
        index.extend(
            {
                **descriptor,
                "platform": platform,
                "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name},
            }
            for name in names
        )
        if not names:
            index.append({**descriptor, "platform": platform})
        layers = [_path(layer.digest) for layer in parsed.layers]
        saved.append({"Config": _path(parsed.config.digest), "RepoTags": [name for name in names if "@" not in name], "Layers": layers})
        for digest in (entry.manifest, parsed.config.digest, *(layer.digest for layer in parsed.layers)):
            content[digest] = store.content.size(digest)
    for digest, size in sorted(content.items()):
        yield _header(_path(digest), size)
        async for data in _read(store, digest):
            yield data
        yield tarstream.padding(size)
    for name, value in (
        ("index.json", {"schemaVersion": 2, "mediaType": documents.OCI_INDEX, "manifests": index}),
        ("manifest.json", saved),
        ("oci-layout", {"imageLayoutVersion": "1.0.0"}),
    ):
        text = msgspec.json.encode(value)
        yield _header(name, len(text)) + text + tarstream.padding(len(text))
    yield tarstream.END


async def _read(store: Store, digest: Digest) -> AsyncIterator[bytes]:
    with store.content.path(digest).open("rb") as stream:
        while data := await asyncio.to_thread(stream.read, _CHUNK):
            yield data


def _header(name: str, size: int) -> bytes:
    return tarstream.header(tarstream.Entry(name.encode(), tarstream.REGULAR, 0o644, 0, 0, size, 0))


def _path(digest: Digest) -> str:
    return f"blobs/sha256/{digest.hex}"
