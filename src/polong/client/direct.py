"""The transport of a command that asks and ends: calls one after the other on a blocking socket, without an event loop.

An event loop costs a command more than its question does (see docs/decisions). What is written for `Transport` runs unchanged: its
coroutines never wait here, so `drive` takes them to their end at once.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from polong.client.transport import Answer, Call, Transport
from polong.client.unreachable import explain
from polong.client.wire import WireAnswer
from polong.kit import errors

Json = dict[str, Any]
T = TypeVar("T")

CHUNK = 256 * 1024
MAX_HEAD = 64 * 1024


def drive(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that awaits nothing but a DirectTransport's calls."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("this work waits for something else than an answer: it needs an event loop")


class DirectTransport:
    """As `HTTPTransport`, but for streamed bodies and upgrades. `timeout` is how long the server may be silent."""

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
        self._place = (url.hostname, url.port or (443 if secure else 80))
        self._tls = (tls or ssl.create_default_context()) if secure else None
        self._name = server_name or url.hostname
        self._host = url.netloc.rpartition("@")[2]
        self._prefix = url.path.rstrip("/")
        self._headers = dict(headers or {})
        self._times = (min(connect_timeout, timeout), timeout)
        self._kept: _Wire | None = None

    async def call(self, call: Call) -> Answer:
        if call.body is not None and not isinstance(call.body, bytes | dict):
            raise errors.Unsupported("a streamed body needs an event loop")
        body = json.dumps(call.body, separators=(",", ":")).encode() if isinstance(call.body, dict) else call.body
        target = self._prefix + call.path + ("?" + urlencode(list(call.query)) if call.query else "")
        headers = {"host": self._host, **self._headers, **{name.lower(): value for name, value in call.headers.items()}}
        if body is not None:
            headers |= {"content-type": call.content_type, "content-length": str(len(body))}
        head = _head(call.method, target, headers)
        while True:
            wire, self._kept = self._kept, None
            reused = wire is not None
            if wire is None:
                wire = self._connect()
            try:
                return DirectAnswer(self, wire, *wire.ask(call.method, head + (body or b"")))
            except BaseException as error:
                wire.close()
                # A kept connection that the server had closed meanwhile: nothing was done, unless the call could have changed something.
                if reused and isinstance(error, OSError) and call.method in ("GET", "HEAD"):
                    continue
                if isinstance(error, OSError):
                    raise self.lost(error) from error
                raise

    def _connect(self) -> _Wire:
        try:
            # Names as bytes where they are ASCII: as text they bring the tables of internationalised names along, 4 ms of a command.
            raw = socket.create_connection((_plain(self._place[0]), self._place[1]), self._times[0])
            try:
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                secure = self._tls.wrap_socket(raw, server_hostname=_plain(self._name)) if self._tls else raw
                secure.settimeout(self._times[1])
                return _Wire(secure)
            except BaseException:
                raw.close()
                raise
        except OSError as error:
            raise explain(error, self._server, "connect to", self._times) from error

    def lost(self, error: BaseException) -> errors.PolongError:
        return explain(error, self._server, "talk to", self._times)

    def keep(self, wire: _Wire) -> None:
        if self._kept is None and wire.reusable:
            self._kept = wire
        else:
            wire.close()

    async def aclose(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None


def _plain(name: str) -> Any:  # noqa: ANN401 - typeshed knows names as text alone
    return name.encode() if name.isascii() else name


def _head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if any("\r" in line or "\n" in line for line in lines) or " " in target:
        raise errors.BadRequest("cannot send a request with line ends or spaces in its head")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


class _Wire:
    """One connection, which reads what RFC 9112 lets a server answer a request of ours: bounded, and strict where two readings differ."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._ready = bytearray()
        self._method = ""
        # Of the body: bytes still to come (of it, or of this chunk), or None where it ends with the connection.
        self._left: int | None = 0
        self._chunked = False
        self._persistent = False

    def ask(self, method: str, request: bytes) -> tuple[int, dict[str, str]]:
        """(status, headers with names in lower case) of the final answer."""
        self._socket.sendall(request)
        self._method = method
        status, found = self._head()
        while 100 <= status < 200:
            status, found = self._head()
        return status, found

    def _head(self) -> tuple[int, dict[str, str]]:
        while (end := self._ready.find(b"\r\n\r\n")) < 0:
            if len(self._ready) > MAX_HEAD:
                raise ConnectionError("the server broke HTTP: its head is too long")
            if not self._receive():
                raise ConnectionError("the server closed the connection without an answer")
        first, *lines = self._ready[:end].decode("latin-1").split("\r\n")
        del self._ready[: end + 4]
        version, _, rest = first.partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or not (len(rest) >= 3 and rest[:3].isascii() and rest[:3].isdigit()):
            raise ConnectionError(f"the server broke HTTP: {first[:40]!r} is no status line")
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or name != name.strip() or not name:
                raise ConnectionError(f"the server broke HTTP: {line[:40]!r} is no header")
            name = name.lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
        self._frame(status := int(rest[:3]), headers, version)
        return status, headers

    def _frame(self, status: int, headers: Mapping[str, str], version: str) -> None:
        coding, length = headers.get("transfer-encoding", "").lower(), headers.get("content-length")
        self._chunked = coding == "chunked"
        if coding and not self._chunked:
            raise ConnectionError(f"the server broke HTTP: transfer encoding {coding[:40]!r}")
        if self._method == "HEAD" or status < 200 or status in (204, 304):
            self._chunked, self._left = False, 0
        elif self._chunked:
            self._left = 0
        elif length is not None:
            self._left = _number(length, 10)
        else:
            self._left = None
        self._persistent = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close" and self._left is not None

    def body(self) -> bytes:
        """The next piece; b"" at the end."""
        if self._chunked and self._left == 0 and not self._next_chunk():
            self._chunked = False
            return b""
        if self._left == 0:
            return b""
        if not self._ready and not self._receive():
            if self._left is None:
                self._left = 0
                return b""
            raise ConnectionError("the server closed the connection in the middle of an answer")
        size = len(self._ready) if self._left is None else min(len(self._ready), self._left)
        piece = bytes(self._ready[:size])
        del self._ready[:size]
        if self._left is not None:
            self._left -= size
            if self._chunked and self._left == 0 and self._line():
                raise ConnectionError("the server broke HTTP: a chunk does not end where it should")
        return piece

    def _next_chunk(self) -> bool:
        self._left = _number(self._line().partition(";")[0].strip(), 16)
        if self._left:
            return True
        while self._line():  # trailers say nothing that is asked for
            pass
        return False

    def _line(self) -> str:
        while (end := self._ready.find(b"\r\n")) < 0:
            if len(self._ready) > MAX_HEAD or not self._receive():
                raise ConnectionError("the server broke HTTP: a chunk has no size")
        line = self._ready[:end].decode("latin-1")
        del self._ready[: end + 2]
        return line

    def _receive(self) -> bool:
        data = self._socket.recv(CHUNK)
        self._ready += data
        return bool(data)

    @property
    def reusable(self) -> bool:
        return self._persistent and self._left == 0 and not self._chunked and not self._ready

    def close(self) -> None:
        self._socket.close()


def _number(text: str, base: int) -> int:
    """A size as HTTP writes it: digits alone, where Python's int() would take signs, spaces and underscores too."""
    if not text or len(text) > 15 or any(each not in "0123456789abcdefABCDEF"[: 10 if base == 10 else 22] for each in text):
        raise ConnectionError(f"the server broke HTTP: {text[:40]!r} is no size")
    return int(text, base)


class DirectAnswer(WireAnswer):
    """An answer whose body is still on the wire."""

    def __init__(self, transport: DirectTransport, wire: _Wire, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.headers = headers
        self._transport = transport
        self._wire: _Wire | None = wire

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        while self._wire is not None:
            try:
                piece = self._wire.body()
            except OSError as error:
                raise self._transport.lost(error) from error
            if not piece:
                wire, self._wire = self._wire, None
                self._transport.keep(wire)
                return
            yield piece

    async def events(self) -> AsyncGenerator[Json, None]:
        raise errors.Unsupported("a stream of events needs an event loop")
        yield {}

    async def aclose(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()


_: type[Transport] = DirectTransport
