"""A connection to a port of the loopback of a network namespace."""

from __future__ import annotations

import asyncio
import os
import socket

from polong.kit.errors import Unavailable
from polong.linux import namespaces

_CONNECT_SECONDS = 5.0
# What a server on "localhost" may have chosen.
_PLACES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


async def connect(netns: str, port: int) -> socket.socket:
    """A non-blocking socket, connected inside the namespace `netns` (a path; "" is the host's). Unavailable, with what 127.0.0.1 said,
    where neither it nor ::1 answers."""
    refusals: list[str] = []
    for family, address in _PLACES:
        try:
            connection = namespaces.tcp_socket(family, netns)
        except OSError as error:
            refusals.append(_words(error))
            continue
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(connection, (address, port))
        except OSError as error:
            connection.close()
            refusals.append(_words(error))
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise Unavailable(f"cannot connect to port {port} of the Pod: {refusals[0]}")


def _words(error: OSError) -> str:
    """The kernel's; asyncio puts other ones in their place."""
    return os.strerror(error.errno) if error.errno else "timed out"
