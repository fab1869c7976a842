"""Opening a TCP connection: that it is accepted is all that is asked. Source: kubelet pkg/probe/tcp."""

from __future__ import annotations

import asyncio
import os
import socket

from polong.kubelet.handlers.target import Answer, Result, authority


def refusal(error: OSError) -> str:
    """The kernel's words as Go has them: in lower case, after the name of the call."""
    if isinstance(error, socket.gaierror):
        return f"lookup failed: {error.strerror}"
    words = os.strerror(error.errno) if error.errno else str(error)
    return f"connect: {words[:1].lower()}{words[1:]}"


async def probe(host: str, port: int, timeout: float) -> Answer:
    where = f"dial tcp {authority(host, port)}"
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            (family, kind, protocol, _, address), *_ = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            with socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol) as connection:
                await loop.sock_connect(connection, address)
    except TimeoutError:
        return Answer(Result.FAILURE, f"{where}: i/o timeout")
    except OSError as error:
        return Answer(Result.FAILURE, f"{where}: {refusal(error)}")
    return Answer(Result.SUCCESS)
