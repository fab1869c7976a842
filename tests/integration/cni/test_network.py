"""The Pod network on the real kernel with the distribution's plugins: two Pods that talk, DEL after a restart, a census."""

import asyncio
import json
import shutil
import sys
from pathlib import Path

import pytest
from tests.integration.cni.conftest import inside, make, pod

from polong.cni.network import PodNetwork
from polong.kit import ids
from polong.kit.errors import Unavailable
from polong.linux import process

pytestmark = pytest.mark.root


async def test_two_pods_reach_each_other_the_gateway_and_themselves(network, node_id, number):
    (_, first, a), (_, second, b) = await asyncio.gather(pod(network), pod(network))
    assert a != b
    for pin, target in ((first, b), (second, a), (first, f"10.213.{number}.1"), (first, "127.0.0.1")):
        result = await inside(pin, "/bin/busybox", "ping", "-c", "1", "-W", "3", target)
        assert result.code == 0, (target, result)
    links = json.loads((await inside(first, "/sbin/ip", "-json", "link")).stdout)
    assert {link["ifname"] for link in links} == {"lo", "eth0"}
    rules = await process.run([shutil.which("nft", path=process.PATH), "list", "table", "ip", f"polong-{node_id}"], timeout=10)
    assert rules.stdout.decode().count("masquerade") == 1
    assert await network.ready() == ""


async def test_detach_is_idempotent_and_works_after_a_restart_and_a_reboot(network, tmp_path, node_id, number):
    first, first_pin, address = await pod(network)
    second, _, _ = await pod(network)
    later = make(tmp_path, node_id, number)
    await later.setup()
    assert (await inside(first_pin, "/bin/busybox", "ping", "-c", "1", "-W", "3", f"10.213.{number}.1")).code == 0
    await later.detach(first)
    await later.detach(first)
    assert not list((tmp_path / "state/ipam").rglob(address))
    await later.delete_namespace(second)
    await later.delete_namespace(second)
    await later.detach(second)
    await later.detach("0" * 64)


async def test_stray_leases_are_given_back(network, tmp_path, node_id):
    _, _, address = await pod(network)
    leases = tmp_path / "state/ipam" / f"polong-{node_id}"
    stray = leases / (address.rsplit(".", 1)[0] + ".77")
    stray.write_text("f" * 64 + "\r\neth0")
    await network.setup()
    assert not stray.exists()
    assert (leases / address).exists()


async def test_the_namespace_is_made_once_and_is_not_the_daemons(network):
    sandbox = ids.container_id()
    pin = await network.create_namespace(sandbox)
    inode = pin.stat().st_ino
    assert await network.create_namespace(sandbox) == pin
    assert pin.stat().st_ino == inode != Path("/proc/self/ns/net").stat().st_ino


async def test_missing_plugins_are_named(tmp_path, node_id, number):
    network = make(tmp_path, node_id, number, plugin_dirs=[tmp_path])
    assert "bridge, host-local missing: install containernetworking-plugins" in await network.ready()
    with pytest.raises(Unavailable, match="containernetworking-plugins"):
        await network.setup()
    assert not (Path("/sys/class/net") / f"pl{node_id}").exists()


async def test_an_overlapping_range_is_refused_by_name(network, tmp_path, number):
    other = PodNetwork(node_id="tovl", pod_cidr=f"10.213.{number}.128/25", state_dir=tmp_path / "s2", run_dir=tmp_path / "r2")
    with pytest.raises(Unavailable, match=r"overlaps with .* of interface pl"):
        await other.setup()
    assert not Path("/sys/class/net/pltovl").exists()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('echo \'{"cniVersion":"1.0.0","code":7,"msg":"no good","details":"at all"}\'; exit 1', "bridge ADD failed: no good: at all"),
        ("exit 3", "bridge ADD failed: exit status 3"),
        ("echo garbage", "bridge answered no JSON"),
        ("echo '{}'", "gave the Pod no address"),
        ("head -c 3000000 /dev/zero", "answered no JSON"),
        ("sleep 100", "did not end within"),
        ("sleep 100 & echo '{}'", "gave the Pod no address"),
    ],
)
async def test_bad_plugins_end_in_one_line_and_leave_no_process(tmp_path, node_id, number, script, words):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    _script(plugins / "host-local", "exit 0")
    _script(plugins / "bridge", f'[ "$CNI_COMMAND" = DEL ] && exit 0\n{script}')
    network = make(tmp_path, node_id, number, plugin_dirs=[plugins], timeout=1)
    sandbox = ids.container_id()
    await network.create_namespace(sandbox)
    try:
        with pytest.raises(Unavailable, match=words) as caught:
            await network.attach(sandbox, name="p", namespace="default", uid="u", ports=())
    finally:
        await network.detach(sandbox)
        await network.delete_namespace(sandbox)
    assert "\n" not in caught.value.message
    assert not list((tmp_path / "state/attachments").glob("*.json"))


async def test_del_is_tried_again_and_remembered_when_it_fails(tmp_path, node_id, number):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    counter = tmp_path / "count"
    _script(plugins / "host-local", "exit 0")
    answer = '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}'
    _script(
        plugins / "bridge",
        f"cat >> {tmp_path}/in\n[ $CNI_COMMAND = ADD ] && echo '{answer}' && exit 0\n"
        f'echo x >> {counter}; [ $(wc -l < {counter}) -lt 6 ] && echo \'{{"code":11,"msg":"busy"}}\' && exit 1\nexit 0',
    )
    network = make(tmp_path, node_id, number, plugin_dirs=[plugins])
    sandbox = ids.container_id()
    await network.create_namespace(sandbox)
    try:
        assert (await network.attach(sandbox, name="p", namespace="default", uid="u", ports=())).ips == ("10.0.0.2",)
        with pytest.raises(Unavailable, match="bridge DEL failed: busy"):
            await network.detach(sandbox)
        assert (tmp_path / "state/attachments" / f"{sandbox}.json").exists()
        await make(tmp_path, node_id, number, plugin_dirs=[plugins]).detach(sandbox)
        assert counter.read_text().count("x") == 6
        assert '"prevResult"' in (tmp_path / "in").read_text()
    finally:
        await network.delete_namespace(sandbox)


def _script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


_ADVERTISE = """
import socket, struct, sys
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 86400, 14400, 0) + socket.inet_pton(socket.AF_INET6, "2001:db8:666::")
advertisement = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
for _ in range(3):
    raw.sendto(advertisement, ("ff02::1", 0, 0, socket.if_nametoindex("eth0")))
"""
_FORGE = """
import socket, struct, sys
source, target, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
payload = b"forged"
udp = struct.pack("!HHHH", 4444, port, 8 + len(payload), 0) + payload
header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(target))
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for _ in range(3):
    raw.sendto(header + udp, (target, 0))
"""


async def test_a_pod_is_no_router_and_has_no_others_address(network, node_id, number):
    """CVE-2020-10749: router advertisements of a Pod; packets under an address of another network."""
    _, pin, address = await pod(network)
    gateway = f"10.213.{number}.1"
    assert Path(f"/proc/sys/net/ipv6/conf/pl{node_id}/accept_ra").read_text().strip() == "0"
    sent = await inside(pin, sys.executable, "-c", _ADVERTISE)
    assert sent.code == 0 or "assign requested address" in sent.line(), sent
    seen: list[tuple[str, int]] = []

    class Received(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            seen.append(addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Received, local_addr=(gateway, 0))
    try:
        port = transport.get_extra_info("sockname")[1]
        for source in ("192.0.2.66", "127.0.0.1", address):
            assert (await inside(pin, sys.executable, "-c", _FORGE, source, gateway, str(port))).code == 0
        async with asyncio.timeout(10):
            while len(seen) < 3:  # noqa: ASYNC110 - the last three are the honest ones
                await asyncio.sleep(0.02)
    finally:
        transport.close()
    assert {source for source, _ in seen} == {address}
    links = (await process.run([shutil.which("ip", path=process.PATH), "-6", "address", "show", "dev", f"pl{node_id}"], timeout=10)).stdout
    assert b"2001:db8" not in links
