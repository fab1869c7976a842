"""The streaming server of CRI: RPCs Exec, Attach and PortForward answer with an address here, at which the client finds its session.

It listens on loopback alone. An address holds a token that nobody can guess, that is good once, and for a minute; so it needs no other
proof of who asks (as in k8s.io/kubelet pkg/cri/streaming).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web

from polong.criapi.ports import Streams
from polong.criapi.wire import v1
from polong.kit.clock import Clock, SystemClock
from polong.kit.errors import NotFound, PolongError, TooLarge, Unavailable
from polong.kit.stdio import Stdio
from polong.remotecommand.channels import exit_status, success
from polong.streaming import portforward, remote
from polong.streaming.wanted import Wanted

Json = dict[str, Any]
Session = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_TOKEN_SECONDS = 60.0
# Addresses that were given out and not come for.
_MOST_WAITING = 1000
_STOP_SECONDS = 3.0


class CheckedStreams(Streams, Protocol):
    """Sessions, and what can be said against one before it begins."""

    def check_exec(self, request: v1.ExecRequest) -> None: ...

    def check_attach(self, request: v1.AttachRequest) -> None: ...

    def check_port_forward(self, request: v1.PortForwardRequest) -> None: ...


class Tokens:
    """What was promised under which token. `take` gives each out once, while it is fresh."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: OrderedDict[str, tuple[float, Session]] = OrderedDict()

    def add(self, session: Session) -> str:
        """TooLarge (gRPC's ResourceExhausted) where too many wait to be come for."""
        self._expire()
        if len(self._waiting) >= _MOST_WAITING:
            raise TooLarge("maximum number of in-flight requests exceeded")
        token = secrets.token_urlsafe(24)
        self._waiting[token] = (self._clock.monotonic() + _TOKEN_SECONDS, session)
        return token

    def take(self, token: str) -> Session:
        self._expire()
        _, session = self._waiting.pop(token, (0.0, None))
        if session is None:
            raise NotFound("no such session: an address is good once, and for a minute")
        return session

    def _expire(self) -> None:
        now = self._clock.monotonic()
        while self._waiting and next(iter(self._waiting.values()))[0] <= now:
            self._waiting.popitem(last=False)


class StreamServer:
    """Satisfies `grpcserver.StreamUrls`. `start` before the first address is asked for."""

    def __init__(self, streams: CheckedStreams, clock: Clock | None = None) -> None:
        self._streams = streams
        self._tokens = Tokens(clock or SystemClock())
        self._server = web.Server(self._handle, access_log=None)
        self._listener: asyncio.Server | None = None
        self._base = ""

    async def start(self) -> None:
        """On a port of loopback that is free."""
        self._listener = await asyncio.get_running_loop().create_server(self._server, _HOST, 0, family=socket.AF_INET)
        port = self._listener.sockets[0].getsockname()[1]
        self._base = f"http://{_HOST}:{port}"

    async def aclose(self) -> None:
        """End all sessions. Idempotent."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        listener.close()
        await self._server.shutdown(_STOP_SECONDS)
        await listener.wait_closed()

    def exec(self, request: v1.ExecRequest) -> str:
        """The address of the session. NotFound, FailedPrecondition or Invalid as for the session itself."""
        self._streams.check_exec(request)

        async def run(stdio: Stdio) -> Json:
            return exit_status(await self._streams.exec(request, stdio))

        return self._promise("exec", lambda asked: remote.serve(asked, _wanted(request), run))

    def attach(self, request: v1.AttachRequest) -> str:
        self._streams.check_attach(request)

        async def run(stdio: Stdio) -> Json:
            await self._streams.attach(request, stdio)
            return success()

        return self._promise("attach", lambda asked: remote.serve(asked, _wanted(request), run))

    def port_forward(self, request: v1.PortForwardRequest) -> str:
        self._streams.check_port_forward(request)
        sandbox = request.pod_sandbox_id

        async def connect(port: int, stdio: Stdio) -> None:
            await self._streams.port_forward(sandbox, port, stdio)

        destination = portforward.Destination(connect, f"sandbox {sandbox}")
        return self._promise("portforward", lambda asked: portforward.serve(asked, destination, request.port))

    def _promise(self, kind: str, session: Session) -> str:
        if self._listener is None:
            raise Unavailable("the streaming server does not run")
        return f"{self._base}/{kind}/{self._tokens.add(session)}"

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            session = self._tokens.take(request.rel_url.raw_path.rpartition("/")[2])
            return await session(request)
        except PolongError as error:
            status = 404 if isinstance(error, NotFound) else 403 if error.reason == "Forbidden" else 400
            return web.Response(status=status, text=f"{error.message}\n")
        except (BrokenPipeError, ConnectionError):
            with contextlib.suppress(AttributeError):
                request.transport.abort()  # type: ignore[union-attr]
            raise


def _wanted(request: v1.ExecRequest | v1.AttachRequest) -> Wanted:
    return Wanted(stdin=request.stdin, stdout=request.stdout, stderr=request.stderr and not request.tty, tty=request.tty)
