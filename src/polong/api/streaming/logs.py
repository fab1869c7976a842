"""pods/log over WebSocket: each piece one message, then a normal close."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator

from aiohttp import web

from polong.kit import errors
from polong.kit.tasks import Tasks
from polong.remotecommand import channels
from polong.streaming import websocket
from polong.streaming.upgrade import upgrade_of

_log = logging.getLogger(__name__)

_PROTOCOLS = (channels.Subprotocol(channels.LOG_BINARY), channels.Subprotocol(channels.LOG_BASE64, text=True))


async def serve_log_websocket(request: web.BaseRequest, chunks: AsyncIterator[bytes]) -> web.StreamResponse:
    """Send `chunks` (closed at the end) until they end or the client leaves."""
    if upgrade_of(request) != "websocket":
        raise errors.BadRequest("unable to upgrade: logs are served over websocket alone")
    protocol = websocket.negotiate(request, _PROTOCOLS)
    socket = await websocket.accept(request, protocol.name)
    tasks = Tasks("log")
    try:
        sending = tasks.start(_send(socket, chunks, protocol.text), "send")
        leaving = tasks.start(_until_gone(socket), "read")
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await tasks.aclose()
        aclose = getattr(chunks, "aclose", None)
        if aclose is not None:
            await aclose()
        await websocket.close(socket)
    return socket


async def _send(socket: web.WebSocketResponse, chunks: AsyncIterator[bytes], text: bool) -> None:
    try:
        async for chunk in chunks:
            for at in range(0, len(chunk), websocket.MAX_SENT):
                piece = chunk[at : at + websocket.MAX_SENT]
                await websocket.send(socket, base64.b64encode(piece) if text else piece, text=text)
    except BrokenPipeError:
        return
    except (errors.PolongError, OSError) as error:
        _log.info("a log ended early: %s", error)


async def _until_gone(socket: web.WebSocketResponse) -> None:
    while await websocket.receive(socket) is not None:
        pass
