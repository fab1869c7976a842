"""Sockets in other network namespaces; the daemon's threads stay where they are."""

import asyncio
import contextlib
import os
import socket
import time
from pathlib import Path

import pytest

from polong.linux import namespaces

pytestmark = pytest.mark.root


@pytest.fixture
async def netns(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    path = tmp_path / "ns" / "net"
    await namespaces.pin_network(path)
    yield path
    namespaces.unpin(path)


def entered() -> set[Path]:
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.add(task.joinpath("ns/net").readlink())
    return found


async def test_a_socket_stays_where_it_was_made_and_no_thread_does(netns):
    with namespaces.tcp_socket(socket.AF_INET, netns) as server, namespaces.tcp_socket(socket.AF_INET, netns) as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        address = server.getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, 2)
        client.setblocking(True)
        client.connect(address)
        assert client.getpeername() == address
    # The threads that entered have told that they end; the kernel may need a moment.
    deadline = time.monotonic() + 5
    while len(entered()) > 1 and time.monotonic() < deadline:  # noqa: ASYNC110 - the kernel sends no event for it
        await asyncio.sleep(0.002)
    assert entered() == {Path("/proc/self/ns/net").readlink()}
    assert namespaces.identity("/proc/self/ns/net") != namespaces.identity(netns)


async def test_what_is_no_network_namespace_is_refused(tmp_path):
    for path in (tmp_path / "none", Path("/proc/self/ns/uts"), Path("/etc/hostname")):
        with pytest.raises(OSError, match=r"No such file|Invalid argument"):
            namespaces.tcp_socket(socket.AF_INET, path)
