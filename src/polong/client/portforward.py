"""Port-forward: one connection to a Pod's port over a WebSocket.

Through SPDY/3.1 in the WebSocket's messages where the server speaks that (Kubernetes 1.30), for it can end one direction alone; else over
the channels of v4.channel.k8s.io, which every server since Kubernetes 1.5 speaks.
"""

from __future__ import annotations

import asyncio
import contextlib

from polong.client.rest import Client
from polong.client.socket import WebSocket, connect
from polong.kit import errors
from polong.kit.stdio import Reader, Stdio, Writer
from polong.kit.tasks import Tasks
from polong.objects.gvk import PODS
from polong.remotecommand import channels, spdy

_DATA, _ERROR = 0, 1
_CHUNK = 32 * 1024
_OFFERED = (channels.PORT_FORWARD_TUNNEL, channels.V4.name)


async def forward(client: Client, pod: str, namespace: str, port: int, stdio: Stdio) -> None:
    """Join `stdio` (stdin to the Pod, stdout from it) with a new connection to `port`, until the Pod's side ends
    or the local one is gone.

    Unavailable with the server's words where the port does not answer. The end of stdin is told to the Pod, unless the server speaks the
    channels alone: those cannot.
    """
    if stdio.stdin is None or stdio.stdout is None:
        raise errors.BadRequest("port-forward needs both directions")
    socket = await connect(client, PODS.path(namespace, pod, "portforward"), [("ports", str(port))], _OFFERED)
    tunnelled = socket.protocol == channels.PORT_FORWARD_TUNNEL
    join = _Tunnel(socket, port).join if tunnelled else _Channels(socket).join
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the local side is gone: an end as good as any
            await join(stdio.stdin, stdio.stdout)
    finally:
        await socket.aclose()
        await stdio.stdout.close()


class _Channels:
    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def join(self, source: Reader, sink: Writer) -> None:
        tasks = Tasks("port-forward")
        greeted: set[int] = set()
        try:
            _sending = tasks.start(self._send(source), "send")
            while (message := await self._socket.receive()) is not None:
                if not message:
                    continue
                channel, data = channels.decode(channels.V4, message)
                if channel not in greeted:  # the first message on each channel repeats the port
                    greeted.add(channel)
                    data = data[2:]
                if channel == _ERROR and data:
                    raise _failure(data)
                if channel == _DATA and data:
                    await sink.write(data)
        finally:
            await tasks.aclose()

    async def _send(self, source: Reader) -> None:
        with contextlib.suppress(BrokenPipeError):
            while data := await source.read():
                for at in range(0, len(data), _CHUNK):
                    await self._socket.send(channels.encode(channels.V4, _DATA, data[at : at + _CHUNK]))


class _Tunnel:
    """A SPDY connection that carries one forwarded connection: a data and an error stream."""

    def __init__(self, socket: WebSocket, port: int) -> None:
        self._socket = socket
        self._session = spdy.Session(server=False)
        headers = {"port": str(port), "requestID": "0"}
        self._error, first = self._session.open({"streamType": "error", **headers}, finished=True)
        self._data, second = self._session.open({"streamType": "data", **headers})
        self._opening = first + second
        self._room = asyncio.Event()

    async def join(self, source: Reader, sink: Writer) -> None:
        tasks = Tasks("port-forward")
        failure = b""
        open_streams = {self._error, self._data}
        try:
            await self._socket.send(self._opening)
            _sending = tasks.start(self._send(source), "send")
            while open_streams and (message := await self._socket.receive()) is not None:
                for event in self._session.receive(message):
                    if isinstance(event, spdy.DataReceived):
                        if event.stream == self._error:
                            failure += event.data
                        elif event.data:
                            await sink.write(event.data)
                            await self._socket.send_some(self._session.consumed(event.stream, len(event.data)))
                        if event.finished:
                            open_streams.discard(event.stream)
                    elif isinstance(event, spdy.StreamReset):
                        open_streams.discard(event.stream)
                    elif isinstance(event, spdy.Reply):
                        await self._socket.send_some(event.data)
                    self._room.set()
        except spdy.SpdyError as error:
            raise errors.Unavailable(f"the server broke the SPDY protocol: {error}") from error
        finally:
            await tasks.aclose()
        if failure:
            raise _failure(failure)

    async def _send(self, source: Reader) -> None:
        with contextlib.suppress(BrokenPipeError):
            while data := await source.read():
                while data:
                    room = self._session.sendable(self._data)
                    if room < 0:
                        return
                    if room == 0:
                        self._room.clear()
                        await self._room.wait()
                        continue
                    piece, data = data[: min(room, _CHUNK)], data[min(room, _CHUNK) :]
                    await self._socket.send(self._session.data(self._data, piece))
            await self._socket.send_some(self._session.data(self._data, b"", finished=True))


def _failure(text: bytes) -> errors.Unavailable:
    return errors.Unavailable(text.decode("utf-8", "replace").strip()[:1024])
