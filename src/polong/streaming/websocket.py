"""WebSocket sessions through aiohttp: negotiation, and exec and attach over channels."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Sequence
from typing import Any

from aiohttp import WSMsgType, web

from polong.kit import errors
from polong.kit.stdio import Pipe, Stdio, TerminalSize
from polong.remotecommand import channels
from polong.remotecommand.channels import Subprotocol
from polong.streaming.session import Resizes, Wire
from polong.streaming.upgrade import keep_alive
from polong.streaming.wanted import Wanted

Json = dict[str, Any]

_log = logging.getLogger(__name__)

MAX_SENT = 64 * 1024
# kubectl gives a connection up when it hears nothing for a minute. While its stdin finds no taker nobody reads its pings, so it is
# told unasked, as RFC 6455 section 5.5.3 allows.
PONG_SECONDS = 10.0


def offered(request: web.BaseRequest) -> list[str]:
    values = request.headers.getall("Sec-WebSocket-Protocol", [])
    return [name for value in values for part in value.split(",") if (name := part.strip())]


def negotiate(request: web.BaseRequest, known: Sequence[Subprotocol]) -> Subprotocol:
    protocol = channels.select(offered(request), known)
    if protocol is None:
        names = ", ".join(one.name for one in known)
        raise errors.BadRequest(
            f"unable to upgrade: no known subprotocol in {', '.join(offered(request))[:200]}; the server speaks {names}"
        )
    return protocol


async def accept(request: web.BaseRequest, name: str, max_message: int = channels.MAX_MESSAGE) -> web.WebSocketResponse:
    """Upgrade. BadRequest where the handshake is wrong."""
    keep_alive(request)
    socket = web.WebSocketResponse(protocols=(name,) if name else (), max_msg_size=max_message, compress=False, timeout=2.0)
    try:
        await socket.prepare(request)
    except web.HTTPException as error:
        raise errors.BadRequest(f"unable to upgrade: {error.text or error.reason}") from error
    return socket


async def receive(socket: web.WebSocketResponse) -> bytes | None:
    """The next message, text or binary; None once the client is gone or broke the protocol."""
    message = await socket.receive()
    if message.type is WSMsgType.BINARY:
        return bytes(message.data)
    if message.type is WSMsgType.TEXT:  # some clients send text on binary channels; the bytes are the same
        return str(message.data).encode()
    if message.type is WSMsgType.ERROR:
        _log.info("a WebSocket client broke the protocol: %s", message.data)
    return None


async def send(socket: web.WebSocketResponse, data: bytes, *, text: bool = False) -> None:
    """BrokenPipeError once the client is gone."""
    if socket.closed:
        raise BrokenPipeError("the client is gone")
    try:
        await (socket.send_str(data.decode("ascii")) if text else socket.send_bytes(data))
    except (OSError, RuntimeError) as error:
        raise BrokenPipeError("the client is gone") from error


async def close(socket: web.WebSocketResponse, code: int = 1000) -> None:
    try:
        await socket.close(code=code)
    except (OSError, RuntimeError) as error:
        _log.debug("closing a WebSocket: %s", error)


async def feed(socket: web.WebSocketResponse, pipe: Pipe, data: bytes) -> None:
    """Give `data` to whom it is for, however long that takes, without letting the client believe that we died."""
    while True:
        try:
            async with asyncio.timeout(PONG_SECONDS):
                # Takes all or, cancelled while it waits for room, nothing.
                await pipe.write(data)
            return
        except TimeoutError:
            with contextlib.suppress(OSError, RuntimeError):
                await socket.pong()
        except BrokenPipeError:
            return


class ChannelWriter:
    """One channel towards the client."""

    def __init__(self, socket: web.WebSocketResponse, protocol: Subprotocol, channel: int) -> None:
        self._socket = socket
        self._protocol = protocol
        self._channel = channel
        self._closed = False

    async def write(self, data: bytes) -> None:
        for at in range(0, len(data), MAX_SENT):
            if self._closed:
                raise BrokenPipeError("stream is closed")
            piece = channels.encode(self._protocol, self._channel, data[at : at + MAX_SENT])
            await send(self._socket, piece, text=self._protocol.text)

    async def close(self) -> None:
        self._closed = True


class WebSocketRemote:
    """exec and attach."""

    def __init__(self, socket: web.WebSocketResponse, protocol: Subprotocol, wanted: Wanted) -> None:
        self._socket = socket
        self._protocol = protocol
        self._stdin = Pipe() if wanted.stdin else None
        self._resizes = Resizes() if wanted.tty else None
        self._outputs = {
            channels.STDOUT: wanted.stdout,
            channels.STDERR: wanted.stderr,
        }
        writers = {channel: ChannelWriter(socket, protocol, channel) for channel, want in self._outputs.items() if want}
        self._writers = list(writers.values())
        self.stdio = Stdio(self._stdin, writers.get(channels.STDOUT), writers.get(channels.STDERR), self._resizes, wanted.tty)

    async def read(self) -> None:
        try:
            while (message := await receive(self._socket)) is not None:
                await self._take(*channels.decode(self._protocol, message))
        except channels.ChannelError as error:
            _log.info("a client broke %s: %s", self._protocol.name or "the channel protocol", error)

    async def _take(self, channel: int, data: bytes) -> None:
        if channel == channels.STDIN and self._stdin is not None:
            await feed(self._socket, self._stdin, data)
        elif channel == channels.RESIZE and self._resizes is not None and data:
            self._resizes.put(TerminalSize(*channels.decode_resize(data)))
        elif channel == channels.CLOSE and self._protocol.close and self._stdin is not None and data[:1] == bytes((channels.STDIN,)):
            await self._stdin.close()

    async def finish(self, status: Json) -> None:
        text = json.dumps(status).encode()
        if not self._protocol.status:
            text = b"" if status["status"] == "Success" else str(status["message"]).encode()
        try:
            if text:
                await send(self._socket, channels.encode(self._protocol, channels.ERROR, text), text=self._protocol.text)
        except BrokenPipeError:
            return

    async def hang_up(self) -> None:
        for writer in self._writers:
            await writer.close()
        if self._stdin is not None:
            await self._stdin.close()
        if self._resizes is not None:
            self._resizes.close()


_wire: type[Wire] = WebSocketRemote
