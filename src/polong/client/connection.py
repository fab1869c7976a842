"""One HTTP/1.1 connection: h11's state machine between asyncio streams. Knows no Kubernetes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import h11

CHUNK = 64 * 1024
# The largest head of an answer that is accepted.
MAX_HEAD = 64 * 1024


@dataclass(frozen=True)
class Origin:
    """Where to connect. `server_name` is what the certificate must say where that is not `host`; `tls` None is plain text."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""


class Connection:
    """Made by `open`. One call at a time; `reusable` afterwards tells whether another may follow."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self.received = False

    @classmethod
    async def open(cls, origin: Origin, timeout: float) -> Connection:
        """OSError (ssl.SSLError among them) or TimeoutError where it fails."""
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(
                origin.host,
                origin.port,
                ssl=origin.tls,
                server_hostname=(origin.server_name or origin.host) if origin.tls else None,
                limit=4 * CHUNK,
            )
        raw = writer.get_extra_info("socket")
        if raw is not None:  # a watch must notice a server that vanished without a word
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        return cls(reader, writer)

    async def send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self.writer.write(data)
            await self.writer.drain()

    async def send_request(self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes | None) -> None:
        """The head, and with it `body` where that is bytes (None: the caller sends the body, or there is none to come)."""
        data = self._http.send(h11.Request(method=method, target=target, headers=list(headers))) or b""
        if body is not None:
            if body:
                data += self._http.send(h11.Data(data=body)) or b""
            data += self._http.send(h11.EndOfMessage()) or b""
        self.writer.write(data)
        await self.writer.drain()

    async def send_stream(self, body: AsyncIterator[bytes]) -> None:
        async for chunk in body:
            if chunk:
                await self.send(h11.Data(data=chunk))
        await self.send(h11.EndOfMessage())

    async def head(self) -> h11.Response | h11.InformationalResponse:
        """The final head, or 101."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                return event
            if isinstance(event, h11.InformationalResponse) and event.status_code == 101:
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise ConnectionError("the server closed the connection without an answer")

    async def body(self) -> bytes:
        """The next piece of the answer's body; b"" at its end."""
        event = await self._next()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            return b""
        raise ConnectionError("the server closed the connection in the middle of an answer")

    async def _next(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise ConnectionError(f"the server broke HTTP: {error}") from error
            if event is not h11.NEED_DATA:
                return event
            data = await self.reader.read(CHUNK)
            self.received = self.received or bool(data)
            self._http.receive_data(data)

    def switched(self) -> bytes:
        """After 101: what came behind the head already."""
        return bytes(self._http.trailing_data[0])

    def recycle(self) -> bool:
        """Make ready for another call; False where the connection is spent."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE or not self.alive:
            return False
        self._http.start_next_cycle()
        self.received = False
        return True

    @property
    def alive(self) -> bool:
        return not (self.reader.at_eof() or self.writer.is_closing())

    async def aclose(self) -> None:
        """At once where the exchange is unfinished; else politely, within a second."""
        if self._http.our_state is h11.IDLE and self.alive:
            self.writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    # Who waits for the end shares one future: a wait that is broken off would break off all of them.
                    await asyncio.shield(self.writer.wait_closed())
        self.writer.transport.abort()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()
