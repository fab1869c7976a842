"""A pull and a removal, in a process that is killed at its n-th step (`tests.fixtures.steps`). A step is the beginning or the end of
whatever changes the disk: blobs, layers, records, the catalog."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from polong.images import content, records
from polong.images.hosts import Hosts
from polong.images.registry import Timeouts
from polong.images.service import ImageService


async def live(root: Path, steps: Any, address: str) -> int:
    service = ImageService(root, hosts=Hosts(loopback_http=True), architecture="amd64", timeouts=Timeouts(connect=5, read=5))
    await service.start()
    store = service.store
    steps.watch(store.content, ("begin", "add", "remove"))
    steps.watch(content.Ingest, ("commit",))
    steps.watch(store.snapshots, ("begin_layer", "commit_layer", "persist_layers", "remove_layer", "mount", "release"))
    steps.watch(records, ("write",))
    image = await service.pull(f"{address}/a/b:1")
    await service.mount_rootfs(image.id, "k")
    await service.release_rootfs("k")
    await service.delete(f"{address}/a/b:1")
    await service.aclose()
    return int(steps.count)


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[3]))
    from tests.fixtures import steps

    steps.serve(lambda fatal, address: asyncio.run(live(Path(sys.argv[1]), steps.Steps(fatal), address)))


main()
