"""A SPDY/3.1 connection served: the codec between a carrier of bytes (a taken-over socket, or a WebSocket tunnel) and streams."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from aiohttp import web

from polong.kit import errors
from polong.remotecommand import spdy
from polong.streaming.upgrade import Taken, switch

_log = logging.getLogger(__name__)

# What one stream may hold unread before the whole connection is left unread, as TCP would have it.
MAX_UNREAD = 256 * 1024
# Streams that belong together must arrive within this time (as the kubelet's StreamCreationTimeout).
CREATION_SECONDS = 30.0


class Carrier(Protocol):
    async def receive(self) -> bytes:
        """b"" at the end."""
        ...

    async def send(self, data: bytes) -> None:
        """BrokenPipeError once the client is gone. Each call's bytes stay together."""
        ...


class Stream:
    """A stream that the client opened: Reader and Writer in one. `headers` have lower-case names."""

    def __init__(self, link: Link, number: int, headers: Mapping[str, str], finished: bool) -> None:
        self.number = number
        self.headers = headers
        self._link = link
        self._chunks: list[bytes] = []
        self._unread = 0
        self._ended = finished
        self._changed = asyncio.Event()

    async def read(self) -> bytes:
        while not self._chunks:
            if self._ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._unread = 0
        await self._link.took(self.number, len(data))
        return data

    async def write(self, data: bytes) -> None:
        await self._link.write(self.number, data)

    async def close(self) -> None:
        """End our half. Idempotent."""
        await self._link.finish(self.number)

    async def reset(self) -> None:
        self.end()
        await self._link.reset(self.number)

    # --- called by the link ---------------------------------------------------------------------------------------------------

    def feed(self, data: bytes, finished: bool) -> None:
        if data:
            self._chunks.append(data)
            self._unread += len(data)
        self._ended = self._ended or finished
        self._changed.set()

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    @property
    def crowded(self) -> bool:
        return self._unread >= MAX_UNREAD and not self._ended


class Link:
    """One connection's streams. `serve` reads until the client leaves and hands each new stream to `opened`."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._session = spdy.Session(server=True)
        self._streams: dict[int, Stream] = {}
        self._drained = asyncio.Event()
        self._windows = asyncio.Event()
        self._over = False

    async def serve(self, opened: Callable[[Stream], Awaitable[None]]) -> None:
        """Ends when the client leaves or breaks the protocol (logged)."""
        try:
            while data := await self._carrier.receive():
                for event in self._session.receive(data):
                    await self._handle(event, opened)
        except spdy.SpdyError as error:
            _log.info("a SPDY client broke the protocol: %s", error)
        except BrokenPipeError:
            pass
        finally:
            self.hang_up()

    async def _handle(self, event: spdy.Event, opened: Callable[[Stream], Awaitable[None]]) -> None:
        match event:
            case spdy.StreamOpened(number, headers, finished):
                stream = self._streams[number] = Stream(self, number, headers, finished)
                await self._carrier.send(self._session.reply(number))
                await opened(stream)
            case spdy.DataReceived(number, data, finished):
                stream_or_none = self._streams.get(number)
                if stream_or_none is not None:
                    stream_or_none.feed(data, finished)
                    while stream_or_none.crowded and not self._over:
                        self._drained.clear()
                        await self._drained.wait()
            case spdy.StreamReset(number, _):
                lost = self._streams.pop(number, None)
                if lost is not None:
                    lost.end()
                self._windows.set()
            case spdy.WindowOpened():
                self._windows.set()
            case spdy.Reply(data):
                await self._carrier.send(data)

    async def took(self, number: int, size: int) -> None:
        self._drained.set()
        update = self._session.consumed(number, size)
        if update and not self._over:
            with contextlib.suppress(BrokenPipeError):
                await self._carrier.send(update)

    async def write(self, number: int, data: bytes) -> None:
        """Within the peer's window, frame by frame. BrokenPipeError where the stream or the client is gone."""
        at = 0
        while at < len(data):
            room = self._session.sendable(number)
            if self._over or room < 0:
                raise BrokenPipeError("stream is closed")
            if room == 0:
                self._windows.clear()
                await self._windows.wait()
                continue
            piece = data[at : at + min(room, spdy.MAX_DATA)]
            at += len(piece)
            await self._carrier.send(self._session.data(number, piece))

    async def finish(self, number: int) -> None:
        frame = b"" if self._over else self._session.data(number, b"", finished=True)
        if frame:
            with contextlib.suppress(BrokenPipeError):
                await self._carrier.send(frame)

    async def reset(self, number: int) -> None:
        self.forget(number)
        frame = b"" if self._over else self._session.reset(number)
        if frame:
            with contextlib.suppress(BrokenPipeError):
                await self._carrier.send(frame)

    def forget(self, number: int) -> None:
        """Drop a stream that nobody reads any more; what still comes on it goes nowhere."""
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.end()
            self._drained.set()

    def hang_up(self) -> None:
        """End every stream. Idempotent."""
        self._over = True
        for stream in self._streams.values():
            stream.end()
        self._drained.set()
        self._windows.set()


def negotiate(request: web.BaseRequest, known: Sequence[str]) -> str:
    """The first of `known` that the client offers; Forbidden where there is none, as the kubelet answers."""
    offered = [name.strip() for value in request.headers.getall("X-Stream-Protocol-Version", []) for name in value.split(",")]
    for name in known:
        if name in offered:
            return name
    raise errors.Forbidden(f"unable to upgrade: unable to negotiate protocol: client supports {offered}, server accepts {list(known)}")


@contextlib.asynccontextmanager
async def take_over(request: web.BaseRequest, version: str) -> AsyncIterator[tuple[Link, web.StreamResponse]]:
    """The request's connection as SPDY, closed at the end."""
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": version}
    raw = await switch(request, headers)
    try:
        yield Link(raw), Taken(raw)
    except BaseException:
        await raw.close()
        raw.release()
        raise
    await raw.close()
