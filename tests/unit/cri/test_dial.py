"""Connections to what listens on loopback, by either address."""

import socket

import pytest

from polong.cri import dial
from polong.kit.errors import Unavailable


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
async def test_either_loopback(family, address):
    with socket.socket(family) as server:
        try:
            server.bind((address, 0))
        except OSError:
            pytest.skip(f"no {address} here")
        server.listen()
        with await dial.connect("", server.getsockname()[1]) as connection:
            assert not connection.getblocking()
            peer, _ = server.accept()
            peer.close()


async def test_nobody_listens():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"cannot connect to port {port} of the Pod: .*refused"):
            await dial.connect("", port)


async def test_the_namespace_is_gone(tmp_path):
    with pytest.raises(Unavailable, match="No such file"):
        await dial.connect(str(tmp_path / "gone"), 80)
