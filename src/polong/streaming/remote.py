"""Which protocol a client of exec or attach wants: WebSocket channels, or SPDY streams."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from polong.kit import errors
from polong.kit.stdio import Stdio
from polong.remotecommand import channels
from polong.streaming import spdy, websocket
from polong.streaming.session import Work, conduct
from polong.streaming.spdyremote import SpdyRemote
from polong.streaming.upgrade import upgrade_of
from polong.streaming.wanted import Wanted

Json = dict[str, Any]

# In the order of the server's liking; over SPDY v5 is v4, and v1 (no error stream) is spoken by nobody left.
SPDY_VERSIONS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io")


async def serve(request: web.BaseRequest, wanted: Wanted, work: Work) -> web.StreamResponse:
    """Upgrade and serve to the end."""
    kind = upgrade_of(request)
    if kind == "websocket":
        protocol = websocket.negotiate(request, channels.REMOTE_COMMAND)
        socket = await websocket.accept(request, protocol.name)
        try:
            await conduct(websocket.WebSocketRemote(socket, protocol, wanted), work)
        finally:
            await websocket.close(socket)
        return socket
    if kind != "spdy/3.1":
        raise errors.BadRequest("unable to upgrade: the request must ask for websocket or SPDY/3.1")
    version = spdy.negotiate(request, SPDY_VERSIONS)
    async with spdy.take_over(request, version) as (link, response):
        remote = SpdyRemote(link, wanted, version)

        async def when_ready(stdio: Stdio) -> Json:
            await remote.ready()
            return await work(stdio)

        await conduct(remote, when_ready)
    return response
