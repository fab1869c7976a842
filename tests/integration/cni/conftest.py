"""A Pod network on the real kernel, and what it leaves behind."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from polong.cni.network import PodNetwork
from polong.cni.types import PortMapping
from polong.kit import ids
from polong.linux import mountinfo, process


def make(tmp_path: Path, node_id: str, number: int, **changes) -> PodNetwork:
    return PodNetwork(node_id=node_id, pod_cidr=f"10.213.{number}.0/24", state_dir=tmp_path / "state", run_dir=tmp_path / "run", **changes)


@pytest.fixture
def node_id() -> str:
    return f"t{os.getpid() % 10**5}{ids.name_suffix(3)}"


@pytest.fixture
def number() -> int:
    return os.getpid() % 250


@pytest.fixture
async def network(tmp_path: Path, node_id: str, number: int) -> AsyncIterator[PodNetwork]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    before = _census()
    made = make(tmp_path, node_id, number)
    try:
        await made.setup()
        yield made
    finally:
        for record in (tmp_path / "state/attachments").glob("*.json"):
            await made.detach(record.stem)
        for pin in (tmp_path / "run/netns").glob("*"):
            await made.delete_namespace(pin.name)
        await made.teardown()
        await made.teardown()
    assert not [mount for mount in mountinfo.read() if mount.target.startswith(str(tmp_path))]
    assert not list((tmp_path / "state/ipam").rglob("10.*"))
    async with asyncio.timeout(5):
        # Interfaces of other nodes on this machine come and go, too, and may be between two bridges.
        while _left(before, node_id):  # noqa: ASYNC110 - the kernel sends no event for it
            await asyncio.sleep(0.02)
    tables = await process.run([shutil.which("nft", path=process.PATH), "list", "tables"], timeout=10)
    assert node_id not in tables.stdout.decode()


def _left(before: set[str], node_id: str) -> set[str]:
    """New interfaces that are ours, or nobody's: the veth of a bridge that is gone has no master."""
    orphans = {name for name in _census() - before if name.startswith("veth") and not Path(f"/sys/class/net/{name}/master").exists()}
    return orphans | {name for name in _census() if node_id in name}


def _census() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


async def pod(network: PodNetwork, ports: tuple[PortMapping, ...] = ()) -> tuple[str, Path, str]:
    sandbox = ids.container_id()
    pin = await network.create_namespace(sandbox)
    attachment = await network.attach(sandbox, name="p", namespace="default", uid=ids.uid(), ports=ports)
    return sandbox, pin, attachment.ips[0]


async def inside(pin: Path, *command: str) -> process.Result:
    return await process.run(["/usr/bin/nsenter", f"--net={pin}", *command], timeout=20)
