"""Pull one image: resolve, choose the platform, download in parallel, unpack in order, and only then give it its name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any
from weakref import WeakValueDictionary

from polong.images import digest as digests
from polong.images import manifest as documents
from polong.images.catalog import Entry
from polong.images.digest import Digest
from polong.images.hosts import Hosts
from polong.images.manifest import Configuration, Descriptor, Manifest
from polong.images.model import RegistryAuth
from polong.images.reference import Reference
from polong.images.registry import Registry, Timeouts
from polong.images.store import Store
from polong.kit import errors
from polong.kit.errors import Invalid, PolongError, Unavailable

Json = dict[str, Any]
Progress = Callable[[Json], None]

_PARALLEL = 3
_ATTEMPTS = 5
_INDEX_DEPTH = 2
_STEP = 1 << 20


class Puller:
    """Pulls into one store."""

    def __init__(self, store: Store, hosts: Hosts, *, architecture: str | None = None, timeouts: Timeouts | None = None) -> None:
        self._store = store
        self._hosts = hosts
        self._architecture = architecture
        self._timeouts = timeouts
        self._downloads: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()

    async def pull(self, reference: Reference, credentials: RegistryAuth | None, progress: Progress) -> Entry:
        """Errors are of their kind, begin with containerd's words and carry a reason; nothing of a failed pull stays."""
        try:
            async with Registry(reference, self._hosts, credentials, timeouts=self._timeouts) as registry, self._store.lease() as hold:
                return await self._pull(reference, registry, hold, progress)
        except PolongError as error:
            raise _wrapped(error, f'failed to pull and unpack image "{reference}": {error.message}') from error
        except OSError as error:
            raise Unavailable(f'failed to pull and unpack image "{reference}": {error}', reason="ErrImagePull") from error

    async def _pull(self, reference: Reference, registry: Registry, hold: Callable[..., None], progress: Progress) -> Entry:
        progress({"status": "resolving"})
        try:
            target, documents_above, manifest_digest, parsed = await self._resolve(reference, registry, hold)
        except PolongError as error:
            raise _wrapped(error, f'failed to resolve reference "{reference}": {error.message}') from error
        tags = [str(reference)] if reference.tag else []
        repo_digests = [f"{reference.name}@{target}"]
        hold([parsed.config.digest, *(layer.digest for layer in parsed.layers)])
        known = self._store.catalog.get(parsed.config.digest)
        if known is not None and known.manifest == manifest_digest and self._complete(known):
            return await self._store.record(known, tags=tags, repo_digests=repo_digests)
        await self._download(registry, parsed.config, progress)
        configuration = documents.parse_configuration(
            await asyncio.to_thread(self._store.content.read, parsed.config.digest, documents.CONFIG_LIMIT), len(parsed.layers)
        )
        await self._layers(registry, parsed, configuration, hold, progress)
        entry = self._store.entry(target, manifest_digest, parsed, configuration, documents_above)
        return await self._store.record(entry, tags=tags, repo_digests=repo_digests)

    def _complete(self, entry: Entry) -> bool:
        layers = all(self._store.snapshots.layer(chain) for chain in entry.chains)
        return layers and all(self._store.content.has(digest) for digest in entry.blobs)

    async def _resolve(
        self, reference: Reference, registry: Registry, hold: Callable[..., None]
    ) -> tuple[Digest, list[Digest], Digest, Manifest]:
        """The digest that the name leads to, the indexes on the way, the manifest of this platform."""
        expected = Descriptor("", reference.digest, -1) if reference.digest else None
        above: list[Digest] = []
        for _ in range(_INDEX_DEPTH + 1):
            fetched = await registry.manifest(str(expected.digest) if expected else reference.tag)
            found = Digest.of(fetched.content)
            if expected and found != expected.digest:
                raise Invalid(f"manifest does not match its digest: expected {expected.digest}, found {found}")
            if not expected and fetched.digest not in {"", str(found)}:
                raise Invalid(f"manifest does not match the digest that its registry gave: {fetched.digest[:80]!r}, found {found}")
            if expected and expected.size not in {-1, len(fetched.content)}:
                raise Invalid(f"manifest {found} has another size than its index says")
            parsed = documents.parse(fetched.content, fetched.media_type)
            hold([found])
            await asyncio.to_thread(self._store.content.add, fetched.content)
            if isinstance(parsed, Manifest):
                return above[0] if above else found, above, found, parsed
            above.append(found)
            expected = documents.choose(parsed, self._architecture)
        raise Invalid(f"image index of {reference} nests deeper than {_INDEX_DEPTH}")

    async def _layers(
        self, registry: Registry, parsed: Manifest, configuration: Configuration, hold: Callable[..., None], progress: Progress
    ) -> None:
        hold(digests.chain(list(configuration.diff_ids)))
        slots = asyncio.Semaphore(_PARALLEL)

        async def fetch(layer: Descriptor) -> None:
            async with slots:
                await self._download(registry, layer, progress)

        await self._store.unpack(parsed.layers, configuration.diff_ids, fetch, reporter(progress))

    async def _download(self, registry: Registry, descriptor: Descriptor, progress: Progress) -> None:
        """Into the content store; joined where another pull is at it."""
        lock = self._downloads.setdefault(descriptor.digest, asyncio.Lock())
        async with lock:
            if not self._store.content.has(descriptor.digest, descriptor.size):
                await self._transfer(registry, descriptor, progress)

    async def _transfer(self, registry: Registry, descriptor: Descriptor, progress: Progress) -> None:
        ingest = self._store.content.begin(descriptor.size)
        failures = reported = 0
        try:
            while True:
                try:
                    async with aclosing(registry.blob(descriptor, ingest.size)) as pieces:
                        async for position, data in pieces:
                            if position != ingest.size:
                                ingest.restart()
                            await asyncio.to_thread(ingest.write, data)
                            if ingest.size - reported >= _STEP or ingest.size == descriptor.size:
                                reported = ingest.size
                                progress(
                                    {
                                        "status": "downloading",
                                        "layer": descriptor.digest.hex[:12],
                                        "current": ingest.size,
                                        "total": descriptor.size,
                                    }
                                )
                    break
                except Unavailable:
                    failures += 1
                    if failures == _ATTEMPTS:
                        raise
                    await asyncio.sleep(0.1 * 2**failures)
            await asyncio.to_thread(ingest.commit, descriptor.digest, descriptor.size)
        finally:
            ingest.discard()


def reporter(progress: Progress) -> Callable[[str, Descriptor], None]:
    """What the store says of a layer, as an event."""

    def report(status: str, layer: Descriptor) -> None:
        current = layer.size if status == "unpacked" else 0
        progress({"status": status, "layer": layer.digest.hex[:12], "current": current, "total": layer.size})

    return report


def _wrapped(error: PolongError, message: str) -> PolongError:
    """The same kind, out of the family's public classes."""
    kind: type[PolongError] = next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    return kind(message, reason=error.reason or "ErrImagePull", causes=error.causes)
