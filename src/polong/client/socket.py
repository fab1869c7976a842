"""A WebSocket to the API server, over the HTTP transport."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from polong.client.http import Upgraded
from polong.client.rest import Client, read_error
from polong.client.transport import Answer, Call
from polong.kit import errors
from polong.kit.tasks import Tasks
from polong.remotecommand import websocket
from polong.remotecommand.websocket import Message, Opcode

# kubectl's: a ping every 5 s, and a connection on which nothing came for a minute is dead.
PING_SECONDS = 5.0
DEAD_SECONDS = 60.0


@runtime_checkable
class Upgrading(Protocol):
    async def upgrade(self, call: Call) -> Upgraded | Answer: ...


class WebSocket:
    """`send` and `receive` whole binary messages; pings both ways are seen to. One reader, any number of writers."""

    def __init__(self, upgraded: Upgraded, protocol: str) -> None:
        self.protocol = protocol
        self._connection = upgraded
        self._decoder = websocket.Decoder()
        self._ready: list[Message] = []
        self._early = upgraded.early
        self._tasks = Tasks("websocket")
        self._closed = False
        self._pinging = self._tasks.start(self._ping(), "ping")

    async def send(self, data: bytes) -> None:
        """BrokenPipeError once the server is gone."""
        await self._write(websocket.encode(Opcode.BINARY, data))

    async def send_some(self, data: bytes) -> None:
        """As `send`, where there is something to send."""
        if data:
            await self.send(data)

    async def receive(self) -> bytes | None:
        """The next message; None after the server's close. Unavailable where the connection breaks."""
        while True:
            while self._ready:
                message = self._ready.pop(0)
                if message.opcode in (Opcode.BINARY, Opcode.TEXT):
                    return message.data
                if message.opcode is Opcode.CLOSE:
                    await self._on_close(message)
                    return None
                if message.opcode is Opcode.PING:
                    with contextlib.suppress(BrokenPipeError):
                        await self._write(websocket.encode(Opcode.PONG, message.data))
            await self._fill()

    async def _fill(self) -> None:
        data, self._early = self._early, b""
        try:
            if not data:
                async with asyncio.timeout(DEAD_SECONDS):
                    data = await self._connection.reader.read(64 * 1024)
        except TimeoutError:
            raise errors.Unavailable(f"the connection broke: nothing came for {DEAD_SECONDS:g} s") from None
        except OSError as error:
            raise errors.Unavailable(f"the connection broke: {error.strerror or error}") from error
        if not data:
            raise errors.Unavailable("the connection broke: the server closed it")
        try:
            self._ready += self._decoder.feed(data)
        except websocket.WebSocketError as error:
            raise errors.Unavailable(f"the server broke the WebSocket protocol: {error}") from error

    async def _on_close(self, message: Message) -> None:
        self._closed = True
        with contextlib.suppress(BrokenPipeError):
            await self._write(websocket.encode(Opcode.CLOSE, message.data[:2]))
        if message.close_code not in (1000, 1001, 1005):
            raise errors.Unavailable(f"the server closed the session: {message.close_reason or message.close_code}")

    async def _write(self, frame: bytes) -> None:
        writer = self._connection.writer
        if writer.is_closing():
            raise BrokenPipeError("the server is gone")
        try:
            writer.write(frame)
            await writer.drain()
        except OSError as error:
            raise BrokenPipeError("the server is gone") from error

    async def _ping(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            while True:
                await asyncio.sleep(PING_SECONDS)
                await self._write(websocket.encode(Opcode.PING, b""))

    async def aclose(self) -> None:
        """Say goodbye where nobody has yet; then close. Idempotent."""
        await self._tasks.aclose()
        if not self._closed:
            self._closed = True
            with contextlib.suppress(BrokenPipeError, TimeoutError):
                async with asyncio.timeout(1):
                    await self._write(websocket.encode_close())
        await self._connection.aclose()


async def connect(client: Client, path: str, query: Sequence[tuple[str, str]], subprotocols: Sequence[str]) -> WebSocket:
    """Upgrade, or raise what the server's refusal means."""
    transport = client.transport
    if not isinstance(transport, Upgrading):
        raise errors.Unsupported("streams need a connection to the server; this client calls it in process")
    key = websocket.new_key()
    headers: Mapping[str, str] = {**client.headers, **websocket.request_headers(key, subprotocols)}
    answer = await transport.upgrade(Call("GET", path, query, headers))
    if not isinstance(answer, Upgraded):
        async with answer:
            if 200 <= answer.status < 300:
                raise errors.Unsupported("the server does not speak WebSocket here")
            raise await read_error(answer)
    try:
        protocol = websocket.accepted(key, answer.headers, subprotocols)
    except websocket.WebSocketError as error:
        await answer.aclose()
        raise errors.Unavailable(f"cannot open the session: {error}") from error
    return WebSocket(answer, protocol)
