"""Images that no container uses go when the disk fills up: the longest unused first, until there is room again.

Only what a registry can give again is removed: an image that somebody imported by hand has no digest of a repository and stays
(decision 0018). Source: kubelet images/image_gc_manager.go.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from polong.criapi.wire import v1
from polong.kit.clock import Clock
from polong.kit.errors import NotFound, PolongError
from polong.kubelet.config import KubeletConfig
from polong.kubelet.events import Recorder
from polong.kubelet.ports import ImageService, RuntimeService

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Held:
    """An image: bytes, and monotonic seconds; `last_used` is 0 for one that was never seen in use."""

    id: str
    size: int
    detected: float
    last_used: float = 0.0


@dataclass(frozen=True)
class Disk:
    """Bytes."""

    capacity: int
    available: int

    @property
    def used_percent(self) -> int:
        return 100 - self.available * 100 // self.capacity if self.capacity else 0


def to_free(disk: Disk, high: int, low: int) -> int:
    """Bytes to free so that usage falls to `low` percent; 0 below `high`. Pure."""
    if disk.used_percent < high:
        return 0
    return max(disk.capacity * (100 - low) // 100 - disk.available, 0)


def victims(images: Iterable[Held], need: int, now: float, min_age: float) -> list[Held]:
    """The longest unused first, until `need` bytes are reached; what came within `min_age` seconds may be about to be used. Pure."""
    chosen: list[Held] = []
    freed = 0
    for each in sorted(images, key=lambda each: (each.last_used, each.detected)):
        if freed >= need:
            break
        if now - each.detected >= min_age:
            chosen.append(each)
            freed += each.size
    return chosen


def disk_of(path: Path) -> Disk:
    found = shutil.disk_usage(path)
    return Disk(found.total, found.free)


class ImageCollector:
    def __init__(
        self,
        config: KubeletConfig,
        services: tuple[RuntimeService, ImageService],
        recorder: Recorder,
        clock: Clock,
        disk: Callable[[Path], Disk] = disk_of,
    ) -> None:
        self._config = config
        self._runtime, self._images = services
        self._recorder = recorder
        self._clock = clock
        self._disk = disk
        self._seen: dict[str, Held] = {}

    async def run(self) -> None:
        """Forever."""
        while True:
            try:
                await self.collect()
            except (PolongError, OSError) as error:
                _log.warning("cannot collect images: %s", error)
            await self._clock.sleep(self._config.image_period)

    async def collect(self) -> None:
        """Once: remember what is in use, and make room where the disk is too full."""
        images = await self._look()
        info = await self._images.image_fs_info(v1.ImageFsInfoRequest())
        mountpoint = next((each.fs_id.mountpoint for each in info.image_filesystems), "")
        if not mountpoint:
            return
        disk = self._disk(Path(mountpoint))
        need = to_free(disk, self._config.image_gc_high, self._config.image_gc_low)
        if need:
            await self._free(images, need, disk)

    async def _look(self) -> Sequence[Held]:
        """The images that nothing uses now and a registry can give again."""
        now = self._clock.monotonic()
        used = set()
        for container in (await self._runtime.list_containers(v1.ListContainersRequest())).containers:
            used |= {container.image_ref, container.image_id, container.image.image}
        listed = (await self._images.list_images(v1.ListImagesRequest())).images
        seen: dict[str, Held] = {}
        free = []
        for image in listed:
            before = self._seen.get(image.id, Held(image.id, image.size, now))
            in_use = bool(used & {image.id, *image.repo_tags, *image.repo_digests})
            seen[image.id] = Held(image.id, image.size, before.detected, now if in_use else before.last_used)
            if not in_use and not image.pinned and image.repo_digests:
                free.append(seen[image.id])
        self._seen = seen
        return free

    async def _free(self, images: Sequence[Held], need: int, disk: Disk) -> None:
        freed = 0
        for each in victims(images, need, self._clock.monotonic(), self._config.image_min_age):
            with suppress(NotFound):
                await self._images.remove_image(v1.RemoveImageRequest(image=v1.ImageSpec(image=each.id)))
            freed += each.size
            _log.info("removed image %s: %d %% of the disk was used", each.id, disk.used_percent)
        if freed < need:
            text = (
                f"Failed to garbage collect required amount of images. Attempted to free {need} bytes, "
                f"but only found {freed} bytes eligible to free."
            )
            self._recorder.node("FreeDiskSpaceFailed", text, warning=True)
