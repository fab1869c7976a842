"""Host ports on the real kernel: from loopback, the node's addresses, a neighbour, the Pods; and what they leave alone."""

import asyncio
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.cni.conftest import ask, inside, make, pod

from polong.cni.network import PodNetwork
from polong.cni.types import PortMapping
from polong.kit.errors import FailedPrecondition
from polong.linux import namespaces, process

pytestmark = pytest.mark.root


@dataclass
class Neighbour:
    """Another machine: a namespace on a link of its own. `host` and `address` are the two ends."""

    pin: Path
    host: str
    address: str


@pytest.fixture
async def neighbour(network, tmp_path, node_id, number) -> AsyncIterator[Neighbour]:
    pin, link = tmp_path / "neighbour", f"n{node_id}"
    made = Neighbour(pin, f"10.214.{number}.1", f"10.214.{number}.2")
    await namespaces.pin_network(pin)
    ip = shutil.which("ip", path=process.PATH)
    try:
        fd = pin.open("rb")
        with fd:
            command = [ip, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", f"/proc/self/fd/{fd.fileno()}"]
            result = await process.run(command, timeout=10, pass_fds=(fd.fileno(),))
        assert result.code == 0, result
        await process.run([ip, "address", "add", f"{made.host}/30", "dev", link], timeout=10)
        await process.run([ip, "link", "set", link, "up"], timeout=10)
        for words in (["address", "add", f"{made.address}/30", "dev", "eth0"], ["link", "set", "eth0", "up"]):
            assert (await inside(pin, ip, *words)).code == 0
        assert (await inside(pin, ip, "route", "add", "default", "via", made.host)).code == 0
        yield made
    finally:
        await process.run([ip, "link", "delete", link], timeout=10)
        namespaces.unpin(pin)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("kind", ["tcp", "udp"])
async def test_every_way_to_a_host_port(network, neighbour, serve, number, kind):
    port = free_port()
    sandbox, pin, address = await pod(network, (PortMapping(port, 8080, kind),))
    other, other_pin, _ = await pod(network)
    await serve(pin, 8080, "pod")
    gateway = f"10.213.{number}.1"
    assert await ask(None, kind, "127.0.0.1", port) == f"pod {gateway}"
    assert await ask(None, kind, neighbour.host, port) == f"pod {neighbour.host}"
    # The neighbour's address is kept; it can reach loopback by no trick.
    assert await ask(neighbour.pin, kind, neighbour.host, port) == f"pod {neighbour.address}"
    assert await ask(other_pin, kind, gateway, port) == f"pod {gateway}"
    assert await ask(other_pin, kind, neighbour.host, port) == f"pod {gateway}"
    assert await ask(pin, kind, gateway, port) == f"pod {gateway}"
    assert await ask(None, kind, address, 8080) == f"pod {gateway}"
    await network.detach(sandbox)
    for where, host in ((None, "127.0.0.1"), (neighbour.pin, neighbour.host), (other_pin, gateway)):
        assert await ask(where, kind, host, port) == ""
    await network.detach(other)


async def test_the_rule_leaves_alone_what_is_for_others(network, neighbour, serve, node_id):
    """portmap's rules took every packet to that port, whoever it was for (CVE-2025-67499)."""
    port = free_port()
    _, pin, _ = await pod(network, (PortMapping(port, 8080),))
    _, client, _ = await pod(network)
    await serve(pin, 8080, "pod")
    await serve(neighbour.pin, port, "neighbour")
    assert (await ask(client, "tcp", neighbour.address, port)).startswith("neighbour")
    assert (await ask(None, "tcp", neighbour.address, port)).startswith("neighbour")
    for name in ("all", f"pl{node_id}"):
        assert Path(f"/proc/sys/net/ipv4/conf/{name}/route_localnet").read_text().strip() == "0"


async def test_a_host_ip_limits_the_port_to_it(network, neighbour, serve, number):
    port = free_port()
    _, first, _ = await pod(network, (PortMapping(port, 80, "tcp", "127.0.0.1"),))
    _, second, _ = await pod(network, (PortMapping(port, 81, "tcp", neighbour.host),))
    await serve(first, 80, "first")
    await serve(second, 81, "second")
    assert (await ask(None, "tcp", "127.0.0.1", port)).startswith("first")
    assert (await ask(None, "tcp", neighbour.host, port)).startswith("second")
    assert (await ask(neighbour.pin, "tcp", neighbour.host, port)).startswith("second")
    assert await ask(second, "tcp", f"10.213.{number}.1", port) == ""
    assert await ask(neighbour.pin, "tcp", "127.0.0.1", port) == ""


async def test_a_loopback_connection_carries_much_and_closes_cleanly(network, serve):
    port = free_port()
    _, pin, _ = await pod(network, (PortMapping(port, 8080),))
    size = 8_000_000
    script = (
        "import socket; s = socket.create_server(('', 8080)); print('ready', flush=True); c, _ = s.accept(); n = 0\n"
        f"while (d := c.recv(65536)): n += len(d)\nc.sendall(str(n).encode() + b'y' * {size})"
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = ["/usr/bin/nsenter", f"--net={pin}", sys.executable, "-I", "-S", "-c", script]
        server = process.spawn(command, stdout=theirs.fileno())
        ours.settimeout(10)
        assert ours.recv(10) == b"ready\n"
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            assert client.getpeername() == ("127.0.0.1", port)
            client.sendall(b"x" * size)
            client.shutdown(socket.SHUT_WR)
            got = b""
            while data := client.recv(1 << 20):
                got += data
        assert got == str(size).encode() + b"y" * size
    finally:
        await server.aclose()


async def test_one_port_is_one_pods(network):
    port = free_port()
    first, _, _ = await pod(network, (PortMapping(port, 80),))
    with pytest.raises(FailedPrecondition, match=rf"host port 127.0.0.1:{port}/tcp is in use by another Pod"):
        await pod(network, (PortMapping(port, 80, "tcp", "127.0.0.1"),))
    second, _, _ = await pod(network, (PortMapping(port, 80, "udp"),))
    await network.detach(first)
    third, _, _ = await pod(network, (PortMapping(port, 80),))
    for sandbox in (second, third):
        await network.detach(sandbox)


async def test_a_restart_keeps_them_and_a_reboot_does_not(network, tmp_path, node_id, number, serve):
    port = free_port()
    sandbox, pin, _ = await pod(network, (PortMapping(port, 8080),))
    await serve(pin, 8080, "pod")
    nft = shutil.which("nft", path=process.PATH)
    await process.run([nft, "delete", "table", "ip", f"polong-{node_id}"], timeout=10)
    later = make(tmp_path, node_id, number)
    await later.setup()
    assert (await ask(None, "tcp", "127.0.0.1", port)).startswith("pod")
    await later.delete_namespace(sandbox)
    await make(tmp_path, node_id, number).setup()
    table = await process.run([nft, "list", "table", "ip", f"polong-{node_id}"], timeout=10)
    assert str(port) not in table.stdout.decode()
    await later.detach(sandbox)


async def test_many_at_once(network: PodNetwork):
    """One table for all: what one attachment writes, another that is under way must not undo."""
    ports = [free_port() for _ in range(6)]
    made = await asyncio.gather(*(pod(network, (PortMapping(port, 80),)) for port in ports))
    nft = shutil.which("nft", path=process.PATH)
    text = (await process.run([nft, "list", "ruleset"], timeout=10)).stdout.decode()
    for (_, _, address), port in zip(made, ports, strict=True):
        assert f"tcp . {port} : {address} . 80" in text
    await asyncio.gather(*(network.detach(sandbox) for sandbox, _, _ in made))
    text = (await process.run([nft, "list", "ruleset"], timeout=10)).stdout.decode()
    assert not [port for port in ports if f" {port} " in text]
