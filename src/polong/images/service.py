"""The image store as the CRI service sees it (`cri.ports.ImageStore`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from polong.images import reference as references
from polong.images.catalog import Entry
from polong.images.hosts import Hosts
from polong.images.model import Image, MappedIds, RegistryAuth
from polong.images.pull import Progress, Puller
from polong.images.reference import Reference
from polong.images.registry import Timeouts
from polong.images.store import Store
from polong.kit.errors import NotFound
from polong.kit.tasks import Tasks


class ImageService:
    """`root` is the directory of the images (made, 0700). `in_use` gives the ids of images that containers use.

    `start` before use, `aclose` after. Blocking work runs in threads and worker processes.
    """

    def __init__(
        self,
        root: Path,
        *,
        in_use: Callable[[], set[str]] = set,
        hosts: Hosts | None = None,
        architecture: str | None = None,
        timeouts: Timeouts | None = None,
        mapped_roots: Path | None = None,
    ) -> None:
        """`mapped_roots` is where root file systems of user namespaces are mounted (made, 0711); such are refused without."""
        self.store = Store(root, mapped_roots)
        self.in_use = in_use
        self.architecture = architecture
        self._puller = Puller(self.store, hosts or Hosts(), architecture=architecture, timeouts=timeouts)
        self.tasks = Tasks("images")
        self._pulls: dict[tuple[str, RegistryAuth | None], _Joined] = {}

    async def start(self) -> None:
        """Load what is there, clear what an earlier run left unfinished."""
        await self.store.start()

    async def aclose(self) -> None:
        """Stop pulls. Root file systems stay mounted: containers live on."""
        await self.tasks.aclose()

    async def pull(self, reference: str, auth: RegistryAuth | None = None, *, progress: Progress | None = None) -> Image:
        """Pulls of the same name with the same credentials are one; it is given up when the last who asked leaves."""
        parsed = references.parse(reference)
        joined = self._pulls.get((str(parsed), auth))
        if joined is None or joined.task.done():
            joined = _Joined()
            joined.task = self.tasks.start(self._pull(parsed, auth, joined), f"pull {parsed}")
            self._pulls[str(parsed), auth] = joined
        joined.waiters += 1
        if progress is not None:
            joined.listeners.append(progress)
        try:
            entry = await asyncio.shield(joined.task)
        finally:
            joined.waiters -= 1
            if progress is not None:
                joined.listeners.remove(progress)
            if not joined.waiters and not joined.task.done():
                joined.task.cancel()
                self._forget(parsed, auth, joined)
        if isinstance(entry, Entry):
            return entry.image()
        raise entry

    async def _pull(self, parsed: Reference, auth: RegistryAuth | None, joined: _Joined) -> Entry | Exception:
        """A failure is a result: it belongs to those who wait, not to the log of failed tasks."""
        try:
            return await self._puller.pull(parsed, auth, joined.report)
        except Exception as error:
            return error
        finally:
            self._forget(parsed, auth, joined)

    def _forget(self, parsed: Reference, auth: RegistryAuth | None, joined: _Joined) -> None:
        if self._pulls.get((str(parsed), auth)) is joined:
            del self._pulls[str(parsed), auth]

    async def get(self, reference: str) -> Image | None:
        entry = self.store.catalog.find(reference)
        return entry.image() if entry else None

    async def images(self) -> Sequence[Image]:
        return [entry.image() for entry in self.store.catalog]

    async def delete(self, reference: str) -> None:
        """Idempotent. By id: with every name. What containers stand on stays on disk until they are gone."""
        await self.store.forget(reference)

    async def usage(self) -> tuple[Path, int, int]:
        size, inodes = await asyncio.to_thread(self.store.usage)
        return self.store.root, size, inodes

    @property
    def place(self) -> Path:
        return self.store.root

    async def rootfs_usage(self, key: str) -> tuple[int, int]:
        return await asyncio.to_thread(self.store.snapshots.usage, key)

    async def mount_rootfs(self, image_id: str, key: str, mapping: MappedIds | None = None) -> Path:
        entry = self.store.catalog.find(image_id)
        if entry is None:
            raise NotFound(f"no image {image_id!r} on this node")
        with self.store.holding(entry):
            return await asyncio.to_thread(self.store.snapshots.mount, str(entry.id), entry.chains, key, mapping)

    async def mount_volume(self, image_id: str, key: str, name: str) -> Path:
        entry = self.store.catalog.find(image_id)
        if entry is None:
            raise NotFound(f"no image {image_id!r} on this node")
        with self.store.holding(entry):
            return await asyncio.to_thread(self.store.snapshots.mount_volume, entry.chains, key, name)

    async def release_rootfs(self, key: str) -> None:
        await asyncio.to_thread(self.store.snapshots.release, key)

    async def rootfs_keys(self) -> Sequence[str]:
        return await asyncio.to_thread(self.store.snapshots.keys)


class _Joined:
    """One pull and those who wait for it."""

    task: asyncio.Task[Entry | Exception]

    def __init__(self) -> None:
        self.waiters = 0
        self.listeners: list[Progress] = []

    def report(self, event: dict[str, object]) -> None:
        for listener in list(self.listeners):
            listener(event)
