"""Leaving HTTP: our own 101, after which the connection's bytes are ours.

aiohttp's parser upgrades to WebSocket alone, but a handler may give the transport another protocol. The old protocol keeps its place in
the server (which closes what is open when it stops) and hears of the end of the connection through us.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from polong.kit import errors

_LIMIT = 128 * 1024


def upgrade_of(request: web.BaseRequest) -> str:
    """What the client asks for, in lower case; empty where it asks for no upgrade."""
    if "upgrade" not in request.headers.get("Connection", "").lower():
        return ""
    return request.headers.get("Upgrade", "").strip().lower()


def keep_alive(request: web.BaseRequest) -> None:
    """Let the kernel notice a client that vanished without a word: within two minutes."""
    raw = request.transport.get_extra_info("socket") if request.transport is not None else None
    if raw is None:
        return
    with contextlib.suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)


class Taken(web.StreamResponse):
    """Stands for an answer that has been given already, outside of aiohttp. Once the handler has returned it, aiohttp hears that the
    connection is over: not before, for that could cancel the handler."""

    def __init__(self, raw: RawStream) -> None:
        super().__init__(status=101)
        self.force_close()
        self._raw = raw

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        self._raw.release()


class _Protocol(asyncio.StreamReaderProtocol):
    def __init__(self, reader: asyncio.StreamReader, old: asyncio.BaseProtocol, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(reader, loop=loop)
        self._old: asyncio.BaseProtocol | None = old
        self.closing = False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.closing:
            self.tell_old(exc)

    def tell_old(self, exc: Exception | None = None) -> None:
        old, self._old = self._old, None
        if old is not None:
            old.connection_lost(exc)


class RawStream:
    """The connection after the upgrade."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: _Protocol) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = protocol

    async def receive(self) -> bytes:
        """The next bytes; b"" once the client is gone, however it went."""
        try:
            return await self._reader.read(64 * 1024)
        except OSError:
            return b""

    async def send(self, data: bytes) -> None:
        """BrokenPipeError once the client is gone."""
        if self._writer.is_closing():
            raise BrokenPipeError("the client is gone")
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise BrokenPipeError("the client is gone") from error

    async def close(self) -> None:
        """Send what is queued, for a moment, then close."""
        self._protocol.closing = True
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(2):
                await self._writer.wait_closed()
        self._writer.transport.abort()

    def release(self) -> None:
        """Tell aiohttp that the connection is over. Idempotent."""
        self._protocol.tell_old()


async def switch(request: web.BaseRequest, headers: Mapping[str, str]) -> RawStream:
    """Answer 101 with `headers` and take the connection over."""
    lines = ["HTTP/1.1 101 Switching Protocols", *(f"{name}: {value}" for name, value in headers.items())]
    return await take(request, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))


async def take(request: web.BaseRequest, answer: bytes) -> RawStream:
    """Answer with these bytes of HTTP and take the connection over."""
    await request.read()  # nothing of HTTP may be left unread
    transport = request.transport
    if transport is None or transport.is_closing():
        raise errors.Unavailable("the client is gone")
    keep_alive(request)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LIMIT, loop=loop)
    protocol = _Protocol(reader, transport.get_protocol(), loop)
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    writer.write(answer)
    return RawStream(reader, writer, protocol)
