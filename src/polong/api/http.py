"""The rim: HTTP/1.1 over TLS with client certificates, onto `Service.handle` and the streaming sessions.

Everything is bounded: header size, body size, time for a request, time for a reader that does not read, number of connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import ssl
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from polong.api import auth, podstreams, status, streaming
from polong.api.app import Service
from polong.api.auditlog import AuditLog, Entry
from polong.api.brokenhttp import WebServer
from polong.api.service import Request, Response, User
from polong.kit.errors import BadRequest, DeadlineExceeded, Forbidden, Internal, PolongError, TooLarge

_log = logging.getLogger(__name__)

MAX_BODY = 3 * 1024 * 1024
MAX_LINE = 64 * 1024
MAX_CONNECTIONS = 1024
REQUEST_SECONDS = 60.0
STALLED_SECONDS = 60.0
IDLE_SECONDS = 90.0
_encode = msgspec.json.Encoder().encode


class _Request(web.BaseRequest):
    """A request whose handler ends when the client leaves, where it asked for that (streams; a write is never cut in two)."""

    task_to_cancel: asyncio.Task[Any] | None = None
    entry: Entry | None = None

    def _cancel(self, exc: BaseException) -> None:
        super()._cancel(exc)
        if self.task_to_cancel is not None:
            self.task_to_cancel.cancel()


class _Refuse(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class Server:
    """The API on a TCP port. One `start`, one `stop`."""

    def __init__(self, service: Service, *, names: Collection[str] = (), audit: AuditLog | None = None) -> None:
        """`names` are Host headers (names or addresses, without port) to accept besides the loopback ones and the bound address."""
        self._service = service
        self._audit = audit
        self._names = {"localhost", "127.0.0.1", "::1", *(name.lower() for name in names)}
        self._streams: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._web: web.Server | None = None
        self._tls: ssl.SSLContext | None = None
        self._listeners: list[asyncio.Server] = []
        self._confined: dict[str, ipaddress.IPv4Network] = {}

    async def start(self, host: str, port: int, *, certificate: Path, key: Path, client_ca: Path) -> int:
        """Listen; the port (a free one where `port` is 0). OSError where the address is taken."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        self._tls = context
        self._web = WebServer(
            self._handle,
            request_factory=_make_request,
            keepalive_timeout=IDLE_SECONDS,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            auto_decompress=False,
            access_log=None,
            logger=_log,
        )
        return await self._listen(host, port)

    async def listen_for(self, network: ipaddress.IPv4Network, host: str, port: int) -> int:
        """Listen at one more address, after `start`, for callers from `network` and from this host alone. OSError."""
        self._confined[host] = network
        return await self._listen(host, port)

    async def _listen(self, host: str, port: int) -> int:
        self._names.add(host.lower())
        listener = await asyncio.get_running_loop().create_server(
            self._protocol, host, port, ssl=self._tls, ssl_handshake_timeout=10, ssl_shutdown_timeout=2, backlog=256
        )
        self._listeners.append(listener)
        bound: int = listener.sockets[0].getsockname()[1]
        return bound

    def _protocol(self) -> asyncio.BaseProtocol:
        assert self._web is not None
        return _Refuse() if len(self._web.connections) >= MAX_CONNECTIONS else self._web()

    async def stop(self) -> None:
        """Stop listening, end every watch and session cleanly, close connections. Idempotent."""
        self._closing = True
        for listener in self._listeners:
            listener.close()
        streams = list(self._streams)
        for task in streams:
            task.cancel()
        if streams:
            await asyncio.wait(streams, timeout=3)
        if self._web is not None:
            self._web.pre_shutdown()
            await self._web.shutdown(2)
        for listener in self._listeners:
            await listener.wait_closed()

    # --- one request ----------------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, _Request)
        entry = request.entry = _entry(request)
        code = 500
        try:
            answer = await self._answered(request, entry)
            code = answer.status
            return answer
        finally:
            if self._audit is not None:
                self._audit.record(entry, code)

    async def _answered(self, request: _Request, entry: Entry) -> web.StreamResponse:
        try:
            self._check_peer(request)
            self._check_origin(request)
            user = await self._user(request, entry)
            if _wants_upgrade(request) and (answer := await self._upgrade(request, user)) is not None:
                return answer
            return await self._answer(request, await self._call(request, user))
        except PolongError as error:
            return await self._finish(request, _error_response(error))
        except TimeoutError:
            return await self._finish(request, _error_response(DeadlineExceeded("request did not complete within the allotted timeout")))
        except ConnectionError:
            # Nobody is left to answer, and that is no fault to log.
            _abort(request)
            return web.Response()
        except (HttpProcessingError, web.RequestPayloadError) as error:
            return await self._finish(request, _error_response(BadRequest(f"cannot read the request body: {error}")))
        except Exception:
            _log.exception("%s %s failed", request.method, request.path)
            return await self._finish(request, _error_response(Internal("see the node's log")))

    async def _user(self, request: _Request, entry: Entry) -> User | None:
        entry.user = auth.user_of_certificate(_peer_certificate(request))
        if entry.user is None and (given := request.headers.get("Authorization")):
            entry.user = await self._service.authentication.user(given)
        if any(name.lower().startswith("impersonate-") for name in request.headers):
            headers = [(name.lower(), value) for name, value in request.headers.items()]
            entry.actor = await self._service.authentication.actor(entry.user, headers)
        return entry.actor or entry.user

    async def _call(self, request: web.BaseRequest, user: User | None) -> Response:
        async with asyncio.timeout(REQUEST_SECONDS):
            if request.headers.get("Content-Encoding", "identity") != "identity":
                raise status.unsupported_media("content encodings are not supported: send the body as it is")
            if user is not None and request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
                request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body: bytes | AsyncIterator[bytes] | None = None
            if self._service.streams_body(request.method, request.path):
                body = request.content.iter_chunked(256 * 1024)
            elif request.body_exists:
                body = await _read_body(request)
            call = _to_request(request, user, body)
            if isinstance(request, _Request) and request.entry is not None:
                request.entry.notes = call.notes
            return await self._service.handle(call)

    def _check_peer(self, request: web.BaseRequest) -> None:
        """An address that is there for Pods is nobody else's: Linux would take packets for it on any interface."""
        transport = request.transport
        if transport is None or not self._confined:
            return
        here = transport.get_extra_info("sockname")[0]
        network, peer = self._confined.get(here), transport.get_extra_info("peername")[0]
        if network is not None and peer != here and ipaddress.ip_address(peer) not in network:
            _abort(request)
            raise ConnectionResetError("not from the Pod network")

    def _check_origin(self, request: web.BaseRequest) -> None:
        """Host and Origin allow-lists: no page of another site, and no rebound DNS name, reaches the API through a browser."""
        origin = request.headers.get("Origin")
        # A target in absolute form has a host of its own, which stands before the header: `request.host` is that one then.
        hosts = [request.headers.get("Host", ""), request.host, *([urlsplit(origin).netloc] if origin is not None else [])]
        for host in hosts:
            if _host_name(host) not in self._names:
                raise Forbidden(f'forbidden: host "{host[:100]}" is not a name of this server')

    # --- answers --------------------------------------------------------------------------------------------------------------

    async def _answer(self, request: _Request, response: Response) -> web.StreamResponse:
        if response.events is not None:
            return await self._stream(request, response, _lines(response.events))
        if response.chunks is not None:
            return await self._stream(request, response, response.chunks)
        body = response.body if isinstance(response.body, bytes) else b"" if response.body is None else _encode(response.body)
        headers = {"Content-Type": "application/json", "Cache-Control": "no-cache, private", **response.headers}
        return await self._finish(request, web.Response(status=response.status, body=body, headers=headers))

    async def _finish(self, request: web.BaseRequest, response: web.Response) -> web.Response:
        """Write it all here, under a bound: a client that does not read holds nothing for long."""
        if not request.content.at_eof():
            response.force_close()
        async with _stall_guard(request):
            await response.prepare(request)
            await response.write_eof()
        return response

    async def _stream(self, request: _Request, response: Response, chunks: AsyncIterator[bytes]) -> web.StreamResponse:
        answer = web.StreamResponse(status=response.status, headers={"Content-Type": "application/json", **response.headers})
        answer.headers["Cache-Control"] = "no-cache, private"
        answer.enable_chunked_encoding()
        async with self._session(request):
            try:
                await answer.prepare(request)
                async for chunk in chunks:
                    async with _stall_guard(request):
                        await answer.write(chunk)
            except (PolongError, OSError) as error:
                # The status line is out: a cut connection is the only honest sign that the body is not whole.
                _log.info("%s %s ended early: %s", request.method, request.path, error)
                _abort(request)
                return answer
            finally:
                await _close(chunks)
        async with _stall_guard(request):
            await answer.write_eof()
        return answer

    @contextlib.asynccontextmanager
    async def _session(self, request: _Request, *, ends_with_client: bool = True) -> AsyncIterator[None]:
        """A long answer: it ends quietly (the body ends well) when the server stops, and, where nobody else sees it, when the client
        leaves."""
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        if ends_with_client:
            request.task_to_cancel = task
        try:
            if self._closing:
                task.cancel()
            yield
        except asyncio.CancelledError:
            if not self._closing:
                raise
            task.uncancel()
        finally:
            request.task_to_cancel = None
            self._streams.discard(task)

    # --- upgrades -------------------------------------------------------------------------------------------------------------

    async def _upgrade(self, request: _Request, user: User | None) -> web.StreamResponse | None:
        """exec, attach, portforward and log over WebSocket or SPDY, and whatever a Pod behind proxy speaks; None where the path takes no
        upgrade."""
        # Nothing of HTTP may be left in the socket when its protocol changes.
        body = await _read_body(request) if request.body_exists else b""
        call = _to_request(request, user, None)
        if (base := await self._service.tunnel(call)) is not None:
            async with self._session(request, ends_with_client=False):
                return await streaming.serve_proxy(request, replace(call, body=body), base, lambda: self._begins(request))
            raise ConnectionResetError("the server stops")
        if request.path.endswith("/log"):
            logs = await self._service.handle(call)
            if logs.chunks is None:
                return await self._answer(request, logs)
            async with self._session(request, ends_with_client=False):
                return await streaming.serve_log_websocket(request, logs.chunks)
            raise ConnectionResetError("the server stops")
        target = await self._service.stream(call)
        if target is None:
            return None
        self._begins(request)
        async with self._session(request, ends_with_client=False):
            return await self._serve(request, target)
        raise ConnectionResetError("the server stops")

    def _begins(self, request: _Request) -> None:
        """Such a session may last for days: that it began is told when it begins."""
        if self._audit is not None and request.entry is not None:
            self._audit.record(request.entry, 101, "ResponseStarted")

    async def _serve(self, request: _Request, target: podstreams.StreamTarget) -> web.StreamResponse:
        node = self._service.require_node()
        if target.kind == "exec":
            return await streaming.serve_exec(request, node, target.pod, target.container, target.command, target.wanted)
        if target.kind == "attach":
            return await streaming.serve_attach(request, node, target.pod, target.container, target.wanted)
        return await streaming.serve_portforward(request, node, target.pod, target.ports)


def _make_request(*arguments: Any) -> web.BaseRequest:  # noqa: ANN401 - aiohttp's own six
    message, payload, protocol, writer, task = arguments
    return _Request(message, payload, protocol, writer, task, asyncio.get_running_loop())


def _entry(request: web.BaseRequest) -> Entry:
    address = request.transport.get_extra_info("peername")[0] if request.transport is not None else ""
    agent = request.headers.get("User-Agent", "")
    return Entry(request.method, request.rel_url.raw_path, request.rel_url.raw_query_string, address, agent)


def _peer_certificate(request: web.BaseRequest) -> dict[str, Any] | None:
    if request.transport is None:
        return None
    certificate: dict[str, Any] | None = request.transport.get_extra_info("peercert")
    return certificate


def _wants_upgrade(request: web.BaseRequest) -> bool:
    return "upgrade" in request.headers.get("Connection", "").lower() and bool(request.headers.get("Upgrade"))


def _host_name(host: str) -> str:
    """The name of a Host header without its port; brackets off IPv6, addresses normalised."""
    before, colon, port = host.rpartition(":")
    name = before if colon and (not port or (port.isascii() and port.isdigit())) else host
    name = name.strip("[]").lower().rstrip(".")
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(name))
    return name


def _to_request(request: web.BaseRequest, user: User | None, body: bytes | AsyncIterator[bytes] | None) -> Request:
    headers = {name.lower(): value for name, value in request.headers.items()}
    query = parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True, max_num_fields=4096)
    return Request(request.method, request.rel_url.raw_path, query, headers, body, user, wire=True)


async def _read_body(request: web.BaseRequest) -> bytes:
    """The whole body; TooLarge beyond MAX_BODY, before it is in memory."""
    if (request.content_length or 0) > MAX_BODY:
        raise _too_large()
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            raise _too_large()
    return bytes(body)


def _too_large() -> TooLarge:
    return TooLarge(f"Request entity too large: limit is {MAX_BODY}")


def _error_response(error: PolongError) -> web.Response:
    document = status.failure(error)
    headers = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
    if document["code"] in (429, 503):
        headers["Retry-After"] = "1"
    return web.Response(status=document["code"], body=_encode(document), headers=headers)


async def _lines(events: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    try:
        async for event in events:
            yield _encode(event) + b"\n"
    finally:
        await _close(events)


async def _close(iterator: AsyncIterator[Any]) -> None:
    close = getattr(iterator, "aclose", None)
    if close is not None:
        await close()


@contextlib.asynccontextmanager
async def _stall_guard(request: web.BaseRequest) -> AsyncIterator[None]:
    """Abort the connection of a client that takes nothing for STALLED_SECONDS."""
    try:
        async with asyncio.timeout(STALLED_SECONDS):
            yield
    except TimeoutError:
        _abort(request)
        raise ConnectionResetError("the client does not read") from None


def _abort(request: web.BaseRequest) -> None:
    transport = request.transport
    if transport is not None:
        transport.abort()
