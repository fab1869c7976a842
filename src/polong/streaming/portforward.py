"""Port-forward: connections to a Pod's ports over SPDY, over SPDY within a WebSocket, and over legacy WebSocket channels.

SPDY: for each connection the client opens an error and a data stream that share the headers requestID and port. Legacy channels:
ports= in the query, two channels a port (data, error), the first message on each the port as two bytes, little-endian.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from polong.kit import errors
from polong.kit.stdio import Pipe, Stdio
from polong.kit.tasks import Tasks
from polong.remotecommand import channels
from polong.streaming import spdy, websocket
from polong.streaming.spdy import CREATION_SECONDS, Link, Stream
from polong.streaming.upgrade import upgrade_of

MAX_PORTS = 64

_log = logging.getLogger(__name__)

_SPDY_VERSIONS = ("portforward.k8s.io",)


@dataclass(frozen=True)
class Destination:
    """What is forwarded to. `connect` serves one connection to a port; `name` is for messages, such as `pod web, uid 123`."""

    connect: Callable[[int, Stdio], Awaitable[None]]
    name: str


async def serve(request: web.BaseRequest, destination: Destination, ports: Sequence[int]) -> web.StreamResponse:
    """Forward until the client leaves. `ports` (of the query) is for the legacy channels alone."""
    kind = upgrade_of(request)
    if kind == "websocket":
        if channels.PORT_FORWARD_TUNNEL in websocket.offered(request):
            return await _serve_tunnel(request, destination)
        return await _serve_channels(request, destination, ports)
    if kind != "spdy/3.1":
        raise errors.BadRequest("unable to upgrade: the request must ask for websocket or SPDY/3.1")
    version = spdy.negotiate(request, _SPDY_VERSIONS)
    async with spdy.take_over(request, version) as (link, response):
        await Forwarder(link, destination).serve()
    return response


async def _serve_tunnel(request: web.BaseRequest, destination: Destination) -> web.StreamResponse:
    socket = await websocket.accept(request, channels.PORT_FORWARD_TUNNEL, max_message=16 * 1024 * 1024)
    try:
        await Forwarder(Link(_Tunnel(socket)), destination).serve()
    finally:
        await websocket.close(socket)
    return socket


class _Tunnel:
    """SPDY's bytes as WebSocket messages."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> bytes:
        while (message := await websocket.receive(self._socket)) is not None:
            if message:
                return message
        return b""

    async def send(self, data: bytes) -> None:
        await websocket.send(self._socket, data)


class Forwarder:
    """One client's connections over one SPDY connection."""

    def __init__(self, link: Link, destination: Destination) -> None:
        self._link = link
        self._destination = destination
        self._halves: dict[str, dict[str, Stream]] = {}
        self._tasks = Tasks("port-forward")

    async def serve(self) -> None:
        try:
            await self._link.serve(self._opened)
        finally:
            self._link.hang_up()
            await self._tasks.aclose()

    async def _opened(self, stream: Stream) -> None:
        kind, port = stream.headers.get("streamtype", ""), stream.headers.get("port", "")
        # Clients before Kubernetes 1.2 sent no requestID: error stream first, data stream next.
        request = stream.headers.get("requestid") or f"stream {stream.number if kind == 'error' else stream.number - 2}"
        if kind not in ("error", "data") or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            await stream.reset()
            return
        halves = self._halves.setdefault(request, {})
        if kind in halves:
            await stream.reset()
            return
        halves[kind] = stream
        if len(halves) == 1:
            self._lonely = self._tasks.start(self._expire(request, halves), f"await {request[:40]}")
            return
        del self._halves[request]
        self._connection = self._tasks.start(self._forward(int(port), halves["data"], halves["error"]), f"port {port}")

    async def _expire(self, request: str, halves: dict[str, Stream]) -> None:
        await asyncio.sleep(CREATION_SECONDS)
        if self._halves.get(request) is halves:
            del self._halves[request]
            for stream in halves.values():
                await stream.reset()

    async def _forward(self, port: int, data: Stream, error: Stream) -> None:
        failure = await connect(self._destination, port, Stdio(stdin=data, stdout=data))
        try:
            if failure:
                await error.write(failure.encode())
            await error.close()
            await data.close()
        except BrokenPipeError:
            pass
        finally:
            self._link.forget(data.number)
            self._link.forget(error.number)
            if failure:
                await self._link.reset(data.number)


async def connect(destination: Destination, port: int, stdio: Stdio) -> str:
    """Serve one connection; what to tell on its error stream, empty where all went well."""
    try:
        await destination.connect(port, stdio)
    except (errors.PolongError, OSError) as error:
        if isinstance(error, BrokenPipeError | ConnectionResetError):
            return ""  # one side hung up: an end as good as any
        text = error.message if isinstance(error, errors.PolongError) else error.strerror or str(error)
        return f"error forwarding port {port} to {destination.name}: {text}"
    except Exception:
        _log.exception("forwarding port %d failed", port)
        return f"error forwarding port {port} to {destination.name}: see the log of the node"
    return ""


async def _serve_channels(request: web.BaseRequest, destination: Destination, ports: Sequence[int]) -> web.StreamResponse:
    if not ports:
        raise errors.BadRequest("query parameter ports is required")
    if len(ports) > MAX_PORTS:
        raise errors.BadRequest(f"at most {MAX_PORTS} ports can be forwarded at a time")
    protocol = websocket.negotiate(request, channels.PORT_FORWARD)
    socket = await websocket.accept(request, protocol.name)
    pipes = [Pipe() for _ in ports]
    tasks = Tasks("port-forward")
    try:
        for number, port in enumerate(ports):
            for channel in (2 * number, 2 * number + 1):
                await websocket.send(socket, channels.encode(protocol, channel, struct.pack("<H", port)), text=protocol.text)
        work = [
            tasks.start(_channel(socket, protocol, destination, (number, port, pipes[number])), f"port {port}")
            for number, port in enumerate(ports)
        ]
        reading = tasks.start(_read_channels(socket, protocol, pipes), "read")
        everything = tasks.start(_all(work), "ports")
        await asyncio.wait({reading, everything}, return_when=asyncio.FIRST_COMPLETED)
    except BrokenPipeError:
        pass
    finally:
        for pipe in pipes:
            await pipe.close()
        await tasks.aclose()
        await websocket.close(socket)
    return socket


async def _all(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


async def _channel(
    socket: web.WebSocketResponse, protocol: channels.Subprotocol, destination: Destination, end: tuple[int, int, Pipe]
) -> None:
    number, port, pipe = end
    stdio = Stdio(stdin=pipe, stdout=websocket.ChannelWriter(socket, protocol, 2 * number))
    failure = await connect(destination, port, stdio)
    await pipe.abandon()
    if failure:
        with contextlib.suppress(BrokenPipeError):
            await websocket.ChannelWriter(socket, protocol, 2 * number + 1).write(failure.encode())


async def _read_channels(socket: web.WebSocketResponse, protocol: channels.Subprotocol, pipes: list[Pipe]) -> None:
    try:
        while (message := await websocket.receive(socket)) is not None:
            channel, data = channels.decode(protocol, message)
            number, odd = divmod(channel, 2)
            if number >= len(pipes):
                raise channels.ChannelError(f"channel {channel} was not asked for")
            if not odd and data:
                await websocket.feed(socket, pipes[number], data)
    except channels.ChannelError as error:
        _log.info("a port-forward client broke the protocol: %s", error)
