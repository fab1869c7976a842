"""Upgrades through pods/proxy and services/proxy: WebSocket, SPDY, or whatever else a Pod's server speaks after its 101.

The Pod's answer decides. 101: from then on bytes go both ways until either side ends. Anything else is passed on once and both
connections are closed: a socket that looks upgraded and is not would let its holder speak to the Pod past every check (CVE-2018-1002105).
Redirects are the client's to follow. Source: apimachinery pkg/util/proxy (UpgradeAwareHandler).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable

from aiohttp import web
from yarl import URL

from polong.api import podproxy
from polong.api.service import Request
from polong.kit.errors import Unavailable
from polong.kit.tasks import Tasks
from polong.streaming.upgrade import RawStream, Taken, take

_MAX_HEAD = 64 * 1024
_CHUNK = 64 * 1024
# A bearer token that a browser puts among the protocols: for the API server, not for the Pod.
_BEARER = "base64url.bearer.authorization.k8s.io."


async def serve_proxy(request: web.BaseRequest, call: Request, base: str, begun: Callable[[], None]) -> web.StreamResponse:
    """Until both sides are done. `begun` is called where the Pod agrees to the upgrade. Unavailable where the Pod cannot be reached, or
    does not speak HTTP."""
    url = podproxy.where(call, base)
    async with _connected(url) as (reader, writer):
        writer.write(_head(request, call, url) + (call.body if isinstance(call.body, bytes) else b""))
        try:
            async with asyncio.timeout(podproxy.IDLE_SECONDS):
                await writer.drain()
                head = await _answer(reader)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise Unavailable(f"error trying to reach service: {str(error) or type(error).__name__}") from None
        status = int(head[0].split(b" ")[1])
        if status == 101:
            begun()
        else:
            head = [*(line for line in head if not line.lower().startswith((b"connection:", b"keep-alive:"))), b"Connection: close"]
        client = await take(request, b"\r\n".join(head) + b"\r\n\r\n")
        try:
            if status == 101:
                await _both_ways(client, reader, writer)
            else:
                await _once(client, reader, request.method, status, head)
        finally:
            await client.close()
        return Taken(client)


@contextlib.asynccontextmanager
async def _connected(url: URL) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    context = None
    if url.scheme == "https":
        # As without an upgrade: encryption is all that is asked for, the Pod's certificate is nobody's.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(podproxy.CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(url.host, url.port, ssl=context, limit=_MAX_HEAD)
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"error trying to reach service: {str(error) or type(error).__name__}") from None
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def _head(request: web.BaseRequest, call: Request, url: URL) -> bytes:
    headers = podproxy.public(call.headers)
    protocols = [each.strip() for each in headers.pop("sec-websocket-protocol", "").split(",")]
    if kept := [each for each in protocols if each and not each.startswith(_BEARER)]:
        headers["sec-websocket-protocol"] = ", ".join(kept)
    headers |= {"host": url.authority, "connection": "Upgrade", "upgrade": request.headers["Upgrade"]}
    if isinstance(call.body, bytes) and call.body:
        headers["content-length"] = str(len(call.body))
    lines = [f"{call.method} {url.raw_path_qs} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


async def _answer(reader: asyncio.StreamReader) -> list[bytes]:
    """Status line and headers as they came. ValueError where they are not HTTP's."""
    head = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
    version, _, rest = head[0].partition(b" ")
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not rest[:3].isdigit() or int(rest[:3]) not in (101, *range(200, 600)):
        raise ValueError("the answer is not HTTP")
    if any(b"\n" in line or b"\r" in line or b":" not in line for line in head[1:]):
        raise ValueError("the answer has a broken header")
    return head


async def _both_ways(client: RawStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until either side ends, which ends both."""

    async def to_pod() -> None:
        with contextlib.suppress(OSError):
            while data := await client.receive():
                writer.write(data)
                await writer.drain()

    async def to_client() -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await client.send(data)

    ways = Tasks("proxy")
    try:
        await asyncio.wait([ways.start(to_pod(), "to the Pod"), ways.start(to_client(), "to the client")], return_when="FIRST_COMPLETED")
    finally:
        await ways.aclose()


async def _once(client: RawStream, reader: asyncio.StreamReader, method: str, status: int, head: list[bytes]) -> None:
    """The rest of one answer, as long as its headers say, and nothing after it."""
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in head[1:])}
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        if method == "HEAD" or status in (204, 304):
            return
        if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
            await _chunked(client, reader)
            return
        left = int(fields[b"content-length"]) if b"content-length" in fields else None
        while left is None or left > 0:
            async with asyncio.timeout(podproxy.IDLE_SECONDS):
                data = await reader.read(_CHUNK if left is None else min(left, _CHUNK))
            if not data:
                return
            await client.send(data)
            left = None if left is None else left - len(data)


async def _chunked(client: RawStream, reader: asyncio.StreamReader) -> None:
    size = -1
    while size:
        async with asyncio.timeout(podproxy.IDLE_SECONDS):
            line = await reader.readuntil(b"\r\n")
            size = left = int(line.partition(b";")[0], 16)
            await client.send(line)
            while left > 0:
                data = await reader.readexactly(min(left, _CHUNK))
                await client.send(data)
                left -= len(data)
            await client.send(await reader.readuntil(b"\r\n"))
