"""pods/proxy: any HTTP request, passed on to a port of a Pod, and its answer back. So do Services (serviceproxy.py).

Nothing of the caller's identity goes to the Pod, redirects are the client's to follow, and no other address than the Pod's own is
ever dialled. Source: pkg/registry/core/pod/strategy.go (ResourceLocation), apimachinery pkg/util/proxy (UpgradeAwareHandler).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from polong.api import paths, status
from polong.api.service import Request, Response
from polong.kit.errors import BadRequest, Unavailable
from polong.objects import pod as pods

Json = dict[str, Any]

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 60.0
_CHUNK = 64 * 1024
# RFC 9110 section 7.6.1, and what says who the caller is.
_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding",
        "upgrade",
    }
)  # fmt: skip
_PRIVATE = frozenset({"authorization", "cookie2", "host", "content-length", "expect"})
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_BODILESS = (204, 304)


def streams_body(path: str) -> bool:
    """What goes to a Pod is not held in memory."""
    return paths.proxied(path)[0].endswith("/proxy")


def pod_name(name: str) -> str:
    """The object of `[scheme:]name[:port]`."""
    return split(name)[1]


def split(name: str, what: str = "pod") -> tuple[str, str, str]:
    """(scheme, name, port). BadRequest."""
    parts = name.split(":")
    scheme = "http"
    if len(parts) == 3:
        scheme, parts = parts[0] or "http", parts[1:]
    if len(parts) > 2 or scheme not in ("http", "https"):
        raise BadRequest(f'invalid {what} request "{name}"')
    return scheme, parts[0], parts[1] if len(parts) == 2 else ""


def location(name: str, pod: Json) -> str:
    """`scheme://address:port` of a Pod's port. BadRequest where it has no address, or the port is not a number."""
    scheme, _, port = split(name)
    if not port:
        ports = [one for container in pods.containers(pod) for one in container.get("ports") or ()]
        port = str(ports[0]["containerPort"]) if ports else ""
    return url(scheme, str(pods.status(pod).get("podIP") or ""), port)


def url(scheme: str, address: str, port: str) -> str:
    """BadRequest as `location`."""
    if not address:
        raise BadRequest("address not allowed")
    ip = ipaddress.ip_address(address)
    if not _allowed(ip):
        raise BadRequest("address not allowed")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise BadRequest(f'"{port}" is not a port number')
    host = f"[{address}]" if ip.version == 6 else address
    return f"{scheme}://{host}:{port}" if port else f"{scheme}://{host}"


def _allowed(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether it can be a Pod's address: nothing that means this host or its neighbours' metadata."""
    return not (ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified)


async def handle(request: Request, base: str) -> Response:
    """`base` is `scheme://address:port`."""
    path = paths.proxied(request.path)[1]
    if request.method not in _METHODS:
        raise status.method_not_allowed()
    if not path and request.method in ("GET", "HEAD"):
        # A page's relative links only work from beneath a slash.
        query = "&".join(f"{quote(key)}={quote(value)}" for key, value in request.query)
        return Response(301, b"", {"Location": f"{request.path}/" + (f"?{query}" if query else "")})
    return await _pass_on(request, where(request, base), public(request.headers))


def where(request: Request, base: str) -> URL:
    """What the request means, at `base`."""
    return URL(base + (paths.proxied(request.path)[1] or "/"), encoded=True).with_query(list(request.query))


def public(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers (lower case) that concern the Pod: not the connection, not who the caller is, not what is for an API server."""
    kept = {key: value for key, value in headers.items() if key not in _HOP | _PRIVATE}
    return {key: value for key, value in kept.items() if not key.startswith(("impersonate-", "x-remote-", "kubectl-"))}


async def _pass_on(request: Request, url: URL, headers: dict[str, str]) -> Response:
    stack = contextlib.AsyncExitStack()
    timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=IDLE_SECONDS)
    try:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                timeout=timeout,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept", "Content-Type"),
            )
        )
        # As Kubernetes: whoever asks for https of a Pod gets no more than encryption, its certificate is nobody's.
        body = request.body if isinstance(request.body, (bytes, AsyncIterator)) else None
        answer = await stack.enter_async_context(
            session.request(request.method, url, headers=headers, data=body or None, allow_redirects=False, ssl=False)
        )
    except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        await stack.aclose()
        raise Unavailable(f"error trying to reach service: {_why(error)}") from None
    except BaseException:
        await stack.aclose()
        raise
    given = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP | {"content-length"}}
    given.setdefault("Content-Type", "application/octet-stream")
    if request.method == "HEAD" or answer.status in _BODILESS:
        await stack.aclose()
        return Response(answer.status, b"", given)
    return Response(answer.status, headers=given, chunks=_chunks(answer, stack))


def _why(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def _chunks(answer: aiohttp.ClientResponse, stack: contextlib.AsyncExitStack) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_chunked(_CHUNK):
            yield chunk
    except aiohttp.ClientError as error:
        raise ConnectionError(_why(error)) from None
    finally:
        await stack.aclose()
