"""SIGKILL of the daemon at each step of a pull and of a removal: the next start finds whole images, and nothing else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fixtures import oci
from tests.fixtures.registry import scripted
from tests.integration.images.conftest import remains

from polong.images.hosts import Hosts
from polong.images.service import ImageService
from polong.linux import mounts

IMAGE = oci.image([oci.file(b"f%d" % number, os.urandom(2000)) + oci.END for number in range(2)])


@pytest.mark.parametrize("stride", [pytest.param(1, marks=pytest.mark.slow), 7])
async def test_killed_at_each_step(root: Path, stride: int) -> None:
    command = [sys.executable, str(Path(__file__).with_name("life.py")), str(root)]
    async with scripted(images={("a/b", "1"): IMAGE}) as registry:
        name = f"{registry.address}/a/b:1"
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as life:  # noqa: ASYNC220 - one, at once
            assert life.stdin is not None
            assert life.stdout is not None
            assert await asyncio.to_thread(life.stdout.readline) == "ready\n"
            outcome, fatal = "killed\n", 1 - stride
            while outcome == "killed\n":
                fatal += stride
                life.stdin.write(f"{fatal} {registry.address}\n")
                life.stdin.flush()
                outcome = await asyncio.to_thread(life.stdout.readline)
                await whole(root, name, fatal)
            life.stdin.close()
    steps = int(outcome.split()[1])
    assert 20 < steps < fatal <= steps + stride


async def whole(root: Path, name: str, fatal: int) -> None:
    """A daemon that starts now: what it lists can be run, the same pull works, and after a removal nothing is there."""
    mounts.unmount_below(root)
    service = ImageService(root, hosts=Hosts(loopback_http=True), architecture="amd64")
    await service.start()
    try:
        # A root file system whose container nobody knows goes by the runtime's word.
        for key in await service.rootfs_keys():
            await service.release_rootfs(key)
        await service.store.collect()
        listed = await service.images()
        if not listed:
            # A daemon sweeps at its start what no image stands on.
            assert remains(root) == [], fatal
        for image in [*listed, await service.pull(name)]:
            top = await service.mount_rootfs(image.id, "again")
            assert sorted(path.name for path in top.iterdir() if path.name.startswith("f")) == ["f0", "f1"], fatal
            await service.release_rootfs("again")
        await service.delete(name)
        await service.delete(name)
        for image in await service.images():
            await service.delete(image.id)
        assert remains(root) == [], fatal
    finally:
        await service.aclose()
