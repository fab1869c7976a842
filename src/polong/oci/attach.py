"""The client's side of conmon's attach socket (SOCK_SEQPACKET): each packet from conmon begins with a byte that names the stream
(2 standard output, 3 standard error); packets to it are standard input as they are.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from polong.kit.errors import FailedPrecondition
from polong.kit.stdio import Reader, Stdio, TerminalSize
from polong.linux.fds import Fd

_STDOUT, _STDERR = 2, 3
# conmon reads packets into a buffer of 8 KiB, and what is longer is lost; it sends at most one byte more.
_PACKET = 8192
# conmon writes to its clients one after the other, and waits for each: a client that takes nothing stops the container's output, and
# with it the container. After so many seconds it is let go.
_PATIENCE = 10.0


def connect(directory: Path) -> socket.socket:
    """To the socket `attach` in a bundle, however long its path. FailedPrecondition where nobody listens."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.setblocking(False)
        with Fd(os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as fd:
            sock.connect(f"/proc/self/fd/{fd.fileno()}/attach")
    except OSError as error:
        sock.close()
        raise FailedPrecondition(f"cannot attach to container: it is not running ({error.strerror})") from error
    return sock


async def run(sock: socket.socket, stdio: Stdio, resize: Callable[[TerminalSize], Awaitable[None]]) -> None:
    """Carry a session until the container's output ends or the client is gone, or takes nothing. Closes `sock`, and the client's output."""
    try:
        inputs: list[Awaitable[None]] = []
        if stdio.stdin is not None:
            inputs.append(_feed(sock, stdio.stdin))
        if stdio.resize is not None:
            inputs.append(_resize(stdio, resize))
        async with asyncio.TaskGroup() as group:
            feeders = [group.create_task(_quiet(item)) for item in inputs]
            try:
                with suppress(BrokenPipeError, TimeoutError):
                    await _drain(sock, stdio)
            finally:
                for feeder in feeders:
                    feeder.cancel()
    finally:
        sock.close()
        for writer in (stdio.stdout, stdio.stderr):
            if writer is not None:
                with suppress(BrokenPipeError):
                    await writer.close()


async def _quiet(work: Awaitable[None]) -> None:
    # A client that breaks off its input has not ended the session: output goes on.
    with suppress(OSError):
        await work


async def _drain(sock: socket.socket, stdio: Stdio) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            packet = await loop.sock_recv(sock, _PACKET * 8)
        except ConnectionError:
            return
        if not packet:
            return
        writer = stdio.stderr if packet[0] == _STDERR and not stdio.tty else stdio.stdout
        if writer is not None and len(packet) > 1 and packet[0] in (_STDOUT, _STDERR):
            async with asyncio.timeout(_PATIENCE):
                await writer.write(packet[1:])


async def _feed(sock: socket.socket, stdin: Reader) -> None:
    loop = asyncio.get_running_loop()
    while data := await stdin.read():
        for start in range(0, len(data), _PACKET):
            await loop.sock_sendall(sock, data[start : start + _PACKET])
    # conmon closes the container's stdin then, if it was told to (stdin_once).
    sock.shutdown(socket.SHUT_WR)


async def _resize(stdio: Stdio, resize: Callable[[TerminalSize], Awaitable[None]]) -> None:
    assert stdio.resize is not None
    async for size in stdio.resize:
        await resize(size)
