"""The transport over HTTP/1.1 and TLS: connections are reused between calls, bodies stream both ways at once."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder
from typing import Any
from urllib.parse import urlencode, urlsplit

import h11

from polong.client.connection import Connection, Origin
from polong.client.transport import Answer, Call, Transport
from polong.client.unreachable import explain
from polong.client.wire import WireAnswer
from polong.kit import errors
from polong.kit.tasks import Tasks

Json = dict[str, Any]

MAX_IDLE = 4
# One event of a stream: far beyond what a sane server sends.
MAX_EVENT = 64 * 1024 * 1024

_NETWORK_ERRORS = (OSError, TimeoutError, h11.LocalProtocolError)


@dataclass(frozen=True)
class Upgraded:
    """A connection that left HTTP: raw bytes from here on, `early` came with the head. `protocol` is the accepted subprotocol."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    early: bytes
    headers: Mapping[str, str]
    _connection: Connection

    async def aclose(self) -> None:
        await self._connection.aclose()


class HTTPTransport:
    """`server` is https://host:port[/prefix] (http:// for tests). `headers` go with each call, as Authorization.

    Unavailable where the server cannot be reached, DeadlineExceeded where it does not answer within `timeout` seconds.
    """

    def __init__(
        self,
        server: str,
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
        headers: Mapping[str, str] | None = None,
        connect_timeout: float = 10.0,
        timeout: float = 60.0,
    ) -> None:
        url = urlsplit(server)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise errors.BadRequest(f"cannot use the server address {server!r}: it must be https://host:port")
        secure = url.scheme == "https"
        self._server = server
        self._origin = Origin(
            url.hostname, url.port or (443 if secure else 80), (tls or ssl.create_default_context()) if secure else None, server_name
        )
        self._host = url.netloc.rpartition("@")[2]
        self._prefix = url.path.rstrip("/")
        self._headers = dict(headers or {})
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._idle: list[Connection] = []
        self._tasks = Tasks("http")
        self._closed = False

    async def call(self, call: Call) -> Answer:
        body = call.body if call.body is None or isinstance(call.body, bytes | AsyncIterator) else _encode(call.body)
        while True:
            connection, reused = await self._connection()
            try:
                head, sender = await self._exchange(connection, call, body)
            except BaseException as error:
                await connection.aclose()
                # A kept connection that the server had closed meanwhile: nothing was done, unless the call could have changed something.
                if reused and isinstance(error, OSError) and not connection.received and call.method in ("GET", "HEAD"):
                    continue
                if isinstance(error, _NETWORK_ERRORS):
                    raise self._explain(error) from error
                raise
            return HTTPAnswer(self, connection, head, sender)

    async def upgrade(self, call: Call) -> Upgraded | Answer:
        """Ask to leave HTTP (the caller gives Upgrade and its headers): the raw connection, or the server's refusal."""
        connection = await self._connect()
        try:
            head, _ = await self._exchange(connection, call, b"" if call.method != "GET" else None, upgrade=True)
        except BaseException as error:
            await connection.aclose()
            if isinstance(error, _NETWORK_ERRORS):
                raise self._explain(error) from error
            raise
        if head.status_code == 101:
            return Upgraded(connection.reader, connection.writer, connection.switched(), _headers(head), connection)
        return HTTPAnswer(self, connection, head, None)

    async def aclose(self) -> None:
        self._closed = True
        await self._tasks.aclose()
        while self._idle:
            await self._idle.pop().aclose()

    async def _connection(self) -> tuple[Connection, bool]:
        while self._idle:
            connection = self._idle.pop()
            if connection.alive:
                return connection, True
            await connection.aclose()
        return await self._connect(), False

    async def _connect(self) -> Connection:
        if self._closed:
            raise errors.Unavailable(f"cannot connect to {self._server}: the client is closed")
        try:
            return await Connection.open(self._origin, self._connect_timeout)
        except (OSError, TimeoutError) as error:
            raise self._explain(error, "connect to") from error

    async def _exchange(
        self, connection: Connection, call: Call, body: bytes | AsyncIterator[bytes] | None, *, upgrade: bool = False
    ) -> tuple[h11.Response | h11.InformationalResponse, Sender | None]:
        target = self._prefix + call.path + ("?" + urlencode(list(call.query)) if call.query else "")
        headers = {"host": self._host, **self._headers, **{name.lower(): value for name, value in call.headers.items()}}
        if body is not None and not upgrade:
            headers["content-type"] = call.content_type
        if isinstance(body, bytes):
            headers["content-length"] = str(len(body))
        elif body is not None:
            headers["transfer-encoding"] = "chunked"
        if body is None or isinstance(body, bytes):
            await connection.send_request(call.method, target, list(headers.items()), body or b"")
            async with asyncio.timeout(self._timeout):
                return await connection.head(), None
        await connection.send_request(call.method, target, list(headers.items()), None)
        sender = Sender(connection, body)
        sender.task = self._tasks.start(sender.run(), "body")
        try:
            return await connection.head(), sender
        except BaseException:
            await sender.aclose()
            if sender.error is not None:
                raise sender.error from None
            raise

    async def give_back(self, connection: Connection) -> None:
        if not self._closed and len(self._idle) < MAX_IDLE and connection.recycle():
            self._idle.append(connection)
        else:
            await connection.aclose()

    def _explain(self, error: BaseException, doing: str = "talk to") -> errors.PolongError:
        return explain(error, self._server, doing, (self._connect_timeout, self._timeout))

    def lost(self, error: BaseException) -> errors.PolongError:
        """What a connection that broke in the middle of an answer means."""
        return self._explain(error)


class Sender:
    """Sends a streamed body beside the answer. A failure of the body's source breaks the connection and is told to the caller; a
    server that stops listening is not a failure, its answer says why."""

    def __init__(self, connection: Connection, body: AsyncIterator[bytes]) -> None:
        self._connection = connection
        self._body = body
        self.task: asyncio.Task[None] | None = None
        self.error: Exception | None = None

    async def run(self) -> None:
        try:
            await self._connection.send_stream(self._body)
        except (ConnectionError, h11.LocalProtocolError):
            return
        except Exception as error:
            self.error = error
            self._connection.writer.transport.abort()

    async def aclose(self) -> None:
        if self.task is not None and not self.task.done():
            self.task.cancel()
            await asyncio.wait([self.task])


class HTTPAnswer(WireAnswer):
    """An answer whose body is still on the wire. Closing it before the end costs the connection, no more."""

    def __init__(
        self, transport: HTTPTransport, connection: Connection, head: h11.Response | h11.InformationalResponse, sender: Sender | None
    ) -> None:
        self.status: int = head.status_code
        self.headers: Mapping[str, str] = _headers(head)
        self._transport = transport
        self._connection: Connection | None = connection
        self._sender = sender

    async def events(self) -> AsyncGenerator[Json, None]:
        buffer = bytearray()
        async for piece in self.chunks():
            start = len(buffer)
            buffer += piece
            if buffer.find(b"\n", start) < 0:
                if len(buffer) > MAX_EVENT:
                    raise errors.TooLarge(f"an event of the server is larger than {MAX_EVENT >> 20} MiB")
                continue
            *lines, rest = bytes(buffer).split(b"\n")
            buffer = bytearray(rest)
            for line in lines:
                for event in _documents(line):
                    yield event
        for event in _documents(bytes(buffer)):
            yield event

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        while self._connection is not None:
            try:
                piece = await self._connection.body()
            except OSError as error:
                if self._sender is not None and self._sender.error is not None:
                    raise self._sender.error from error
                raise self._transport.lost(error) from error
            if not piece:
                await self._finish()
                return
            yield piece

    async def _finish(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._sender is not None:
                await self._sender.aclose()
            await self._transport.give_back(connection)

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if self._sender is not None:
            await self._sender.aclose()
        if connection is not None:
            await connection.aclose()


def _encode(body: Json) -> bytes:
    # Not msgspec: it takes longer to import than a command's few bodies take.
    return json.dumps(body, separators=(",", ":")).encode()


def _headers(head: h11.Response | h11.InformationalResponse) -> dict[str, str]:
    merged: dict[str, str] = {}
    for raw_name, raw_value in head.headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        merged[name] = f"{merged[name]}, {value}" if name in merged else value
    return merged


def _documents(line: bytes) -> list[Json]:
    """The JSON documents of one line: one, as every server writes them, or several without anything between."""
    line = line.strip()
    if not line:
        return []
    try:
        return [json.loads(line)]
    except ValueError:
        pass
    documents, text, at, decoder = [], line.decode("utf-8", "replace"), 0, JSONDecoder()
    try:
        while at < len(text):
            document, at = decoder.raw_decode(text, at)
            documents.append(document)
    except (JSONDecodeError, RecursionError) as error:
        raise errors.Unavailable(f"cannot read an event of the server: {error}") from error
    return documents


_: type[Transport] = HTTPTransport
