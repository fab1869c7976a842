"""Servers outside of any Pod, on the node's own address: what probes and hooks of the node, or programs in Pods, reach."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from grpclib.health.v1.health_grpc import HealthBase
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpclib.server import Server, Stream
from tests.unit.kubelet.handlers.certificates import self_signed


@dataclass
class Listener:
    """`heard` are the paths that were asked for, in order; `agents` the User-Agent of each."""

    port: int = 0
    tls_port: int = 0
    heard: list[str] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)


@contextmanager
def listening() -> Iterator[Listener]:
    """HTTP and HTTPS (a certificate of its own making) on free ports of every address."""
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            listener.agents.append(self.headers.get("User-Agent", ""))
            listener.heard.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            """Silence."""

    plain, secure = (ThreadingHTTPServer(("0.0.0.0", 0), Handler) for _ in range(2))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with self_signed() as (certificate, key):
        context.load_cert_chain(certificate, key)
    secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
    listener.port, listener.tls_port = plain.server_port, secure.server_port
    threads = [threading.Thread(target=each.serve_forever) for each in (plain, secure)]
    for thread in threads:
        thread.start()
    try:
        yield listener
    finally:
        for server, thread in zip((plain, secure), threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


class _Health(HealthBase):
    async def Check(self, stream: Stream[HealthCheckRequest, HealthCheckResponse]) -> None:
        asked = await stream.recv_message()
        ill = asked is not None and asked.service == "ill"
        await stream.send_message(HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING if ill else HealthCheckResponse.SERVING))

    async def Watch(self, stream: Stream[HealthCheckRequest, HealthCheckResponse]) -> None:
        raise NotImplementedError


@contextmanager
def grpc_health(port: int) -> Iterator[None]:
    """grpc.health.v1.Health: SERVING, but for the service `ill`."""
    loop = asyncio.new_event_loop()
    started, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        server = Server([_Health()])
        await server.start("0.0.0.0", port)
        started.set()
        await stop.wait()
        server.close()
        await server.wait_closed()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
