"""A Pod network on the real kernel, and what it leaves behind."""

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from polong.cni.network import PodNetwork
from polong.cni.types import PortMapping
from polong.kit import ids
from polong.linux import mountinfo, process

# Answers a line with the peer's address, over TCP and UDP; says so when both listen.
_SERVER = """
import select, socket, sys
tcp = socket.create_server(("", int(sys.argv[1])))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("", int(sys.argv[1])))
print("ready", flush=True)
while True:
    for ready in select.select([tcp, udp], [], [])[0]:
        if ready is udp:
            _, peer = udp.recvfrom(100); udp.sendto((sys.argv[2] + " " + peer[0]).encode(), peer)
        else:
            peer, address = tcp.accept(); peer.sendall((sys.argv[2] + " " + address[0]).encode()); peer.close()
"""
_CLIENT = """
import socket, sys
kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
peer = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
peer.settimeout(1.5); peer.connect((host, port))
if kind == "udp": peer.send(b"x")
print(peer.recv(100).decode())
"""


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


@pytest.fixture
async def serve() -> AsyncIterator:
    servers = []

    async def start(pin: Path, port: int, name: str) -> None:
        command = ["/usr/bin/nsenter", f"--net={pin}", sys.executable, "-I", "-S", "-c", _SERVER, str(port), name]
        ours, theirs = socket.socketpair()
        ours.settimeout(10)
        with ours, theirs:
            servers.append(process.spawn(command, stdout=theirs.fileno()))
            theirs.close()
            assert ours.recv(10) == b"ready\n"

    yield start
    for server in servers:
        await server.aclose()


async def ask(pin: Path | None, kind: str, host: str, port: int) -> str:
    """What the server says; "" where there is no answer."""
    enter = ["/usr/bin/nsenter", f"--net={pin}"] if pin else []
    result = await process.run([*enter, sys.executable, "-I", "-S", "-c", _CLIENT, kind, host, str(port)], timeout=20)
    return result.stdout.decode().strip()
