"""The store that pulls, imports and containers share: content, layers and catalog, with leases so that nothing in use is collected.

A lease is taken in memory before content is looked for; collection removes what neither an image, nor a lease, nor a container's root
file system needs. A failed pull drops its lease and collects: nothing of it stays.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

from polong.images import digest as digests
from polong.images import manifest as documents
from polong.images import records
from polong.images.catalog import Catalog, Entry
from polong.images.content import ContentStore
from polong.images.digest import Digest
from polong.images.manifest import Configuration, Descriptor, Manifest
from polong.images.snapshots import LayerRecord, Snapshots
from polong.kit import errors
from polong.kit.errors import DeadlineExceeded, Internal, Invalid, PolongError
from polong.linux import process
from polong.linux.paths import Root

Fetch = Callable[[Descriptor], Awaitable[None]]
Report = Callable[[str, Descriptor], None]

_UNPACKED_LIMIT = 64 << 30
_UNPACK_SECONDS = 900
_SYNC_SECONDS = 120.0
_log = logging.getLogger(__name__)


class Store:
    """One root directory. `start` before use."""

    def __init__(self, root: Path, mapped_roots: Path | None = None) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.chmod(0o700)
        self.root = root
        self.content = ContentStore(root)
        self.snapshots = Snapshots(root, mapped_roots)
        self.catalog = Catalog(root / "index.json")
        self._leases: Counter[Digest] = Counter()
        # An import takes leases in the thread that reads its archive.
        self._guard = threading.Lock()
        self._collecting = asyncio.Lock()
        self._saving = asyncio.Lock()
        self._workers = asyncio.Semaphore(os.cpu_count() or 1)
        self._unpacking: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()

    async def start(self) -> None:
        """Read the catalog, clear what an earlier run left unfinished. An image whose content is damaged is dropped, with a log line."""
        await asyncio.to_thread(self._load)
        await self.collect()

    def _load(self) -> None:
        records.clear_unfinished(self.root)
        self.content.clear_ingest()
        self.snapshots.clear_unfinished()
        for stored in Catalog.encoded(self.root / "index.json"):
            try:
                content = self.content.read(Digest.parse(stored["id"]), documents.CONFIG_LIMIT)
                self.catalog.restore(stored, documents.parse_configuration(content))
            except (OSError, PolongError, KeyError, TypeError, ValueError) as error:
                _log.warning("image %s is dropped from the catalog: %s", stored.get("tags"), error)

    # --- leases and collection ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Callable[[Iterable[Digest]], None]]:
        """`hold(digests)` keeps content and layers (by ChainID) from collection until the context ends; on failure they are collected."""
        held: list[Digest] = []

        def hold(wanted: Iterable[Digest]) -> None:
            held.extend(wanted := list(wanted))
            with self._guard:
                self._leases.update(wanted)

        async with self._collecting:
            pass  # what it found unneeded goes before anybody counts on it
        try:
            yield hold
        except BaseException:
            self._release(held)
            await asyncio.shield(self.collect())
            raise
        self._release(held)

    @contextmanager
    def holding(self, entry: Entry) -> Iterator[None]:
        """Keep the layers of an image that is in the catalog now: collection has not chosen them."""
        with self._guard:
            self._leases.update(entry.chains)
        try:
            yield
        finally:
            self._release(list(entry.chains))

    def _release(self, held: list[Digest]) -> None:
        with self._guard:
            self._leases.subtract(held)
            self._leases = +self._leases

    async def collect(self) -> None:
        """Remove content and layers that nothing needs."""
        async with self._collecting:
            with self._guard:
                wanted = set(self._leases)
            wanted |= self.snapshots.held()
            for entry in self.catalog:
                wanted.update(entry.blobs, entry.chains)
            blobs = [digest for digest in self.content.digests() if digest not in wanted]
            chains = [layer.chain for layer in self.snapshots.layers() if layer.chain not in wanted]
            await asyncio.to_thread(self._remove, blobs, chains)

    def _remove(self, blobs: Sequence[Digest], chains: Sequence[Digest]) -> None:
        for chain in chains:
            self.snapshots.remove_layer(chain)
        for digest in blobs:
            self.content.remove(digest)

    # --- layers -------------------------------------------------------------------------------------------------------------

    async def unpack(self, layers: Sequence[Descriptor], diff_ids: Sequence[Digest], fetch: Fetch, report: Report) -> None:
        """Make the layers of an image (lowest first) from their blobs, which `fetch` brings; what is there already is kept.

        Side by side: few layers refer to those below them, and one that does is done again when those are complete.
        """
        chains = digests.chain(list(diff_ids))
        finished = [asyncio.Event() for _ in layers]

        async def one(position: int) -> None:
            layer = layers[position]
            await fetch(layer)
            report("unpacking", layer)
            lock = self._unpacking.setdefault(chains[position], asyncio.Lock())
            async with lock:
                if self.snapshots.layer(chains[position]) is None:
                    await self._unpack(layer, diff_ids[position], chains[: position + 1], finished[:position])
            finished[position].set()
            report("unpacked", layer)

        try:
            async with asyncio.TaskGroup() as group:
                for position in range(len(layers)):
                    group.create_task(one(position))
        except BaseExceptionGroup as failures:
            raise _first(failures) from None

    async def _unpack(self, layer: Descriptor, diff_id: Digest, chains: Sequence[Digest], lower: Sequence[asyncio.Event]) -> None:
        if await self._attempt(layer, diff_id, chains, None if lower else ()):
            return
        for complete in lower:
            await complete.wait()
        await self._attempt(layer, diff_id, chains, chains[:-1])

    async def _attempt(self, layer: Descriptor, diff_id: Digest, chains: Sequence[Digest], below: Sequence[Digest] | None) -> bool:
        """Unpack the last of `chains`; False where it needs the layers below and `below` is None."""
        directory = self.snapshots.begin_layer()
        try:
            async with self._workers:
                verdict = await self._work(directory, layer, diff_id, below)
            if "needs_lower" in verdict:
                await asyncio.to_thread(self.snapshots.discard_layer, directory)
                return False
            if verdict["skipped_devices"]:
                _log.info("layer %s: %d device nodes left out", diff_id, verdict["skipped_devices"])
            record = LayerRecord(chains[-1], verdict["bytes"], verdict["inodes"])
            await asyncio.to_thread(self.snapshots.commit_layer, directory, record)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(self.snapshots.discard_layer, directory))
            raise
        return True

    async def _work(self, directory: Path, layer: Descriptor, diff_id: Digest, below: Sequence[Digest] | None) -> dict[str, int]:
        with ExitStack() as stack:
            blob = stack.enter_context(self.content.path(layer.digest).open("rb"))
            top = stack.enter_context(Root.open(directory))
            lowers = [stack.enter_context(Root.open(self.snapshots.layer_path(chain))) for chain in reversed(below or ())]
            task = {
                "blob": blob.fileno(),
                "directory": top.fileno(),
                "lowers": None if below is None else [lower.fileno() for lower in lowers],
                "compression": layer.compression,
                "diff_id": str(diff_id),
                "limit": _UNPACKED_LIMIT,
                "seconds": _UNPACK_SECONDS,
            }
            numbers = [blob.fileno(), top.fileno(), *(lower.fileno() for lower in lowers)]
            command = [sys.executable, "-I", "-m", "polong.images.worker"]
            try:
                result = await process.run(command, timeout=_UNPACK_SECONDS, stdin=json.dumps(task).encode(), pass_fds=numbers)
            except DeadlineExceeded:
                raise Invalid(f"layer {layer.digest} took longer than {_UNPACK_SECONDS} s to unpack") from None
        try:
            verdict = json.loads(result.stdout)
        except ValueError:
            raise Internal(f"cannot unpack layer {layer.digest}: the worker ended with status {result.code}: {result.line()}") from None
        if "error" in verdict:
            raise _error(verdict["error"])(f"layer {layer.digest}: {verdict['message']}")
        return {str(key): int(value) for key, value in verdict.items()}

    # --- images -------------------------------------------------------------------------------------------------------------

    def entry(
        self, target: Digest, manifest_digest: Digest, parsed: Manifest, configuration: Configuration, extra: Sequence[Digest]
    ) -> Entry:
        """A catalog entry of content that is all here; `extra` are documents above the manifest (indexes)."""
        blobs = (*extra, manifest_digest, parsed.config.digest, *(layer.digest for layer in parsed.layers))
        chains = tuple(digests.chain(list(configuration.diff_ids)))
        size = sum(self.content.size(digest) for digest in dict.fromkeys(blobs))
        return Entry(parsed.config.digest, target, manifest_digest, tuple(dict.fromkeys(blobs)), chains, size, configuration)

    async def record(self, entry: Entry, *, tags: Iterable[str] = (), repo_digests: Iterable[str] = ()) -> Entry:
        """Enter an image whose layers are unpacked: first the layers to disk, then their records, then the names."""
        await process.run(["/bin/sync", "-f", str(self.root)], timeout=_SYNC_SECONDS)
        await asyncio.to_thread(self.snapshots.persist_layers, entry.chains)
        entry = self.catalog.put(entry, tags=tags, digests=repo_digests)
        await self._save()
        return entry

    async def _save(self) -> None:
        """One after the other: what a slower writer saw earlier must not replace what a faster one saw later."""
        async with self._saving:
            await asyncio.to_thread(self.catalog.save)

    async def forget(self, text: str) -> Entry | None:
        """Remove a name or an image; its content goes as soon as no container stands on it."""
        entry = self.catalog.remove(text)
        if entry is not None:
            await self._save()
            await self.collect()
        return entry

    def usage(self) -> tuple[int, int]:
        """Bytes and inodes of content and layers."""
        sizes = [self.content.size(digest) for digest in self.content.digests()]
        layers = self.snapshots.layers()
        return sum(sizes) + sum(layer.bytes for layer in layers), len(sizes) + sum(layer.inodes for layer in layers)


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure itself, out of the groups around it."""
    error: BaseException = failures
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _error(name: str) -> type[PolongError]:
    kind = getattr(errors, name, Internal)
    return kind if isinstance(kind, type) and issubclass(kind, PolongError) else Internal
