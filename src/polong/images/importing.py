"""Read an archive of images: an OCI layout or docker-save's format as one tar, from a stream, in bounded memory.

Every member that may be content goes into the content store as it comes; what no image of the archive needs is collected at the end.
OCI image specification "Image Layout"; docker-save's manifest.json.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from polong.images import compression, reference
from polong.images import digest as digests
from polong.images import manifest as documents
from polong.images.catalog import Entry
from polong.images.content import Ingest
from polong.images.digest import Digest
from polong.images.manifest import Descriptor, Index, Manifest
from polong.images.pull import Progress, reporter
from polong.images.store import Store
from polong.kit import tarstream
from polong.kit.errors import BadRequest, Invalid, PolongError, TooLarge
from polong.kit.tarstream import TarParser

Json = dict[str, Any]

_DOCUMENTS = frozenset({"index.json", "manifest.json", "oci-layout", "repositories"})
_DOCUMENT_LIMIT = 4 << 20
_CONTENT_LIMIT = 64 << 30
_MEMBERS = 20_000
_NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_LAYER_TYPES = {"": "", "gzip": "+gzip", "zstd": "+zstd"}


@dataclass
class _Spool:
    """Where the members of an archive are: small documents in memory, the rest as content."""

    store: Store
    hold: Callable[[Iterable[Digest]], None]
    documents: dict[str, bytes] = field(default_factory=dict)
    content: dict[str, Digest] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    _parser: TarParser = field(default_factory=lambda: TarParser(_MEMBERS))
    _stream: compression.Decompressor | None = None
    _name: str = ""
    _left: int = 0
    _ingest: Ingest | None = None
    _document: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        """Blocking: from a thread."""
        if self._stream is None:
            self._stream = compression.decompressor(compression.sniff(data))
        for piece in self._stream.feed(data):
            for event in self._parser.feed(piece):
                if isinstance(event, tarstream.Entry):
                    self._begin(event)
                else:
                    self._take(event)

    def finish(self) -> None:
        if self._stream is None:
            raise Invalid("archive is empty")
        self._stream.finish()
        self._parser.finish()

    def close(self) -> None:
        if self._ingest is not None:
            self._ingest.discard()

    def _begin(self, entry: tarstream.Entry) -> None:
        name = posixpath.normpath(entry.name.decode("utf-8", "replace"))
        if entry.kind in {tarstream.SYMLINK, tarstream.HARDLINK}:
            # Old docker-save archives share layers by links among their own members: names here, never paths on disk.
            target = entry.link.decode("utf-8", "replace")
            base = posixpath.dirname(name) if entry.kind == tarstream.SYMLINK else ""
            self.links[name] = posixpath.normpath(posixpath.join(base, target))
        if entry.kind != tarstream.REGULAR:
            return
        self._name, self._left = name, entry.size
        if name in _DOCUMENTS:
            if entry.size > _DOCUMENT_LIMIT:
                raise TooLarge(f"archive: {name} is larger than {_DOCUMENT_LIMIT >> 20} MiB")
            self._document = bytearray()
        else:
            if entry.size > _CONTENT_LIMIT:
                raise TooLarge(f"archive: {name} is larger than {_CONTENT_LIMIT >> 30} GiB")
            self._ingest = self.store.content.begin(entry.size)
        if not entry.size:
            self._end()

    def _take(self, data: bytes) -> None:
        if self._ingest is not None:
            self._ingest.write(data)
        else:
            self._document += data
        self._left -= len(data)
        if not self._left:
            self._end()

    def _end(self) -> None:
        if self._ingest is None:
            self.documents[self._name] = bytes(self._document)
            return
        named = posixpath.basename(self._name)
        claimed = Digest(named) if self._name == f"blobs/sha256/{named}" and len(named) == 64 and named.isalnum() else None
        ingest, self._ingest = self._ingest, None
        try:
            # Held before it is published: a collection may run beside.
            found = ingest.found()
            self.hold([found])
            ingest.commit(claimed)
        finally:
            ingest.discard()
        self.content[self._name] = found

    def find(self, name: str) -> Digest:
        name = posixpath.normpath(name)
        for _ in range(8):
            if name in self.content:
                return self.content[name]
            if name not in self.links:
                break
            name = self.links[name]
        raise Invalid(f"archive lacks {name[:100]!r}, which its manifest names")


async def import_archive(
    store: Store, archive: AsyncIterator[bytes], architecture: str | None, progress: Progress
) -> AsyncGenerator[Entry, None]:
    """The images of the archive, each as soon as it is usable. Nothing of a bad archive stays but the images before the fault."""
    async with store.lease() as hold:
        spool = _Spool(store, hold)
        taken = 0
        try:
            async for data in archive:
                await asyncio.to_thread(spool.feed, data)
                taken += len(data)
                progress({"status": "reading", "current": taken})
            await asyncio.to_thread(spool.finish)
        finally:
            spool.close()
        found = _from_index(spool, architecture) if "index.json" in spool.documents else _from_docker(spool)
        if not found:
            raise Invalid("archive holds no image for this platform")
        for image in found:
            yield await _enter(store, hold, image, progress)
    await store.collect()


@dataclass(frozen=True)
class _Found:
    """One image of an archive: its manifest's content and names."""

    content: bytes
    parsed: Manifest
    names: tuple[str, ...]


async def _enter(store: Store, hold: Callable[[Iterable[Digest]], None], image: _Found, progress: Progress) -> Entry:
    manifest_digest = Digest.of(image.content)
    hold([manifest_digest])
    await asyncio.to_thread(store.content.add, image.content)
    for descriptor in (image.parsed.config, *image.parsed.layers):
        if not store.content.has(descriptor.digest, descriptor.size):
            raise Invalid(f"archive lacks content {descriptor.digest}, which its manifest names")
    content = await asyncio.to_thread(store.content.read, image.parsed.config.digest, documents.CONFIG_LIMIT)
    configuration = documents.parse_configuration(content, len(image.parsed.layers))
    hold(digests.chain(list(configuration.diff_ids)))

    async def here(layer: Descriptor) -> None:
        pass

    await store.unpack(image.parsed.layers, configuration.diff_ids, here, reporter(progress))
    references = [reference.parse(name) for name in image.names]
    entry = store.entry(manifest_digest, manifest_digest, image.parsed, configuration, ())
    tags = [str(named) for named in references if named.tag]
    repo_digests = [f"{named.name}@{manifest_digest}" for named in references]
    return await store.record(entry, tags=tags, repo_digests=repo_digests)


def _from_index(spool: _Spool, architecture: str | None) -> list[_Found]:
    index = documents.parse(spool.documents["index.json"], documents.OCI_INDEX)
    assert isinstance(index, Index)
    docker_names = _docker_names(spool)
    found: dict[Digest, tuple[bytes, Manifest, list[str]]] = {}
    for descriptor in index.manifests:
        try:
            content, parsed = _follow(spool, descriptor, architecture)
        except PolongError:
            if len(index.manifests) == 1:
                raise
            continue  # an image of another platform beside ours
        names = found.setdefault(Digest.of(content), (content, parsed, []))[2]
        named = _annotated(descriptor)
        names.extend([named] if named else docker_names.get(parsed.config.digest, []))
    return [_Found(content, parsed, tuple(dict.fromkeys(names))) for content, parsed, names in found.values()]


def _follow(spool: _Spool, descriptor: Descriptor, architecture: str | None) -> tuple[bytes, Manifest]:
    for _ in range(3):
        digest = spool.find(f"blobs/sha256/{descriptor.digest.hex}")
        content = spool.store.content.read(digest, documents.MANIFEST_LIMIT)
        parsed = documents.parse(content, descriptor.media_type)
        if isinstance(parsed, Manifest):
            return content, parsed
        descriptor = documents.choose(parsed, architecture)
    raise Invalid("archive: image index nests too deep")


def _annotated(descriptor: Descriptor) -> str:
    """A name, where an annotation holds one; a bare tag is none."""
    for key in _NAME_ANNOTATIONS:
        name = descriptor.annotations.get(key, "")
        if "/" in name or ":" in name:
            try:
                return str(reference.parse(name))
            except BadRequest:
                continue
    return ""


def _docker_manifest(spool: _Spool) -> list[Json]:
    try:
        value = msgspec.json.decode(spool.documents.get("manifest.json", b"[]"))
    except msgspec.DecodeError as error:
        raise Invalid(f"archive: manifest.json is no JSON document: {error}") from None
    if not isinstance(value, list) or not all(isinstance(image, dict) for image in value):
        raise Invalid("archive: manifest.json is no list of images")
    return value


def _docker_names(spool: _Spool) -> dict[Digest, list[str]]:
    names: dict[Digest, list[str]] = {}
    for image in _docker_manifest(spool):
        if isinstance(config := image.get("Config"), str):
            names.setdefault(spool.find(config), []).extend(_tags(image))
    return names


def _tags(image: Json) -> list[str]:
    tags = image.get("RepoTags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise Invalid("archive: RepoTags is no list of names")
    return [str(reference.parse(tag)) for tag in tags]


def _from_docker(spool: _Spool) -> list[_Found]:
    """docker-save knows no OCI manifest: ours is made of what it lists."""
    if "manifest.json" not in spool.documents:
        raise Invalid("archive is neither an OCI layout (index.json) nor a docker-save archive (manifest.json)")
    found = []
    for image in _docker_manifest(spool):
        config, layers = image.get("Config"), image.get("Layers")
        if not isinstance(config, str) or not isinstance(layers, list) or not all(isinstance(layer, str) for layer in layers):
            raise Invalid("archive: manifest.json lacks Config or Layers")
        value = {
            "schemaVersion": 2,
            "mediaType": documents.OCI_MANIFEST,
            "config": _described(spool, spool.find(config), "application/vnd.oci.image.config.v1+json"),
            "layers": [_layer(spool, spool.find(layer)) for layer in layers],
        }
        content = msgspec.json.encode(value)
        parsed = documents.parse(content, documents.OCI_MANIFEST)
        assert isinstance(parsed, Manifest)
        found.append(_Found(content, parsed, tuple(_tags(image))))
    return found


def _layer(spool: _Spool, digest: Digest) -> Json:
    with spool.store.content.path(digest).open("rb") as stream:
        suffix = _LAYER_TYPES[compression.sniff(stream.read(4))]
    return _described(spool, digest, f"application/vnd.oci.image.layer.v1.tar{suffix}")


def _described(spool: _Spool, digest: Digest, media_type: str) -> Json:
    return {"mediaType": media_type, "digest": str(digest), "size": spool.store.content.size(digest)}
