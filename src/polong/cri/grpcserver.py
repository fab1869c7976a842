"""CRI v1 over gRPC on a Unix socket: the objects that the node uses in process, for crictl, critest and a real kubelet.

The kinds of `kit.errors` become gRPC codes here and nowhere else. Exec, Attach and PortForward answer with an address of the
streaming server (`polong.cri.streamserver`), as the specification has it.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

from polong.criapi.ports import ImageService, RuntimeService
from polong.criapi.wire import v1
from polong.kit import errors
from polong.kit.errors import PolongError
from polong.linux import unixsocket

_log = logging.getLogger(__name__)

_SERVICES = ("runtime.v1.RuntimeService", "runtime.v1.ImageService")

_CODES: tuple[tuple[type[PolongError], Status], ...] = (
    (errors.BadRequest, Status.INVALID_ARGUMENT),
    (errors.Invalid, Status.INVALID_ARGUMENT),
    (errors.Unauthorized, Status.UNAUTHENTICATED),
    (errors.Forbidden, Status.PERMISSION_DENIED),
    (errors.NotFound, Status.NOT_FOUND),
    (errors.AlreadyExists, Status.ALREADY_EXISTS),
    (errors.Conflict, Status.ABORTED),
    (errors.Gone, Status.OUT_OF_RANGE),
    (errors.TooLarge, Status.RESOURCE_EXHAUSTED),
    (errors.FailedPrecondition, Status.FAILED_PRECONDITION),
    (errors.Unsupported, Status.UNIMPLEMENTED),
    (errors.Unavailable, Status.UNAVAILABLE),
    (errors.DeadlineExceeded, Status.DEADLINE_EXCEEDED),
)
# Kubelets find these words at the beginning of a message (k8s.io/kubernetes pkg/kubelet/images, cri-api pkg/errors).
_NAMED = frozenset({"RegistryUnavailable", "SignatureValidationFailed"})


class StreamUrls(Protocol):
    """Makes the address at which a client finds a session; valid once and for a short time."""

    def exec(self, request: v1.ExecRequest) -> str: ...

    def attach(self, request: v1.AttachRequest) -> str: ...

    def port_forward(self, request: v1.PortForwardRequest) -> str: ...


class Runtime(RuntimeService, ImageService, Protocol):
    """Both services, as one object."""


class GrpcServer:
    """`start`, then it serves until `aclose`. The socket belongs to root alone (mode 0600) and is taken away at the end."""

    def __init__(self, runtime: Runtime, urls: StreamUrls) -> None:
        self._runtime = runtime
        self._urls = urls
        self._server = Server([_Mapped(self._mapping())])
        self._path: Path | None = None

    async def start(self, path: Path) -> None:
        """FailedPrecondition where somebody listens there already, Invalid where no socket can be at that path."""
        listener = unixsocket.bind(path)
        self._path = path
        await self._server.start(sock=listener)

    async def aclose(self) -> None:
        """Cancel what is being served. Idempotent."""
        if self._path is None:
            return
        path, self._path = self._path, None
        self._server.close()
        await self._server.wait_closed()
        path.unlink(missing_ok=True)

    def _mapping(self) -> dict[str, Handler]:
        found: dict[str, Handler] = {}
        for full_name in _SERVICES:
            service = v1.DESCRIPTOR.services_by_name[full_name.rpartition(".")[2]]
            for method in service.methods:
                request, response = getattr(v1, method.input_type.name), getattr(v1, method.output_type.name)
                serve = self._events if method.server_streaming else _unary(self._call(method.name))
                kind = Cardinality.UNARY_STREAM if method.server_streaming else Cardinality.UNARY_UNARY
                found[f"/{full_name}/{method.name}"] = Handler(serve, kind, request, response)
        return found

    def _call(self, name: str) -> Callable[[Any], Awaitable[Any]]:
        streaming: dict[str, Callable[[Any], Awaitable[Any]]] = {
            "Exec": self._exec,
            "Attach": self._attach,
            "PortForward": self._port_forward,
        }
        if name in streaming:
            return streaming[name]
        call: Callable[[Any], Awaitable[Any]] = getattr(self._runtime, _snake(name))
        return call

    async def _exec(self, request: v1.ExecRequest) -> v1.ExecResponse:
        return v1.ExecResponse(url=self._urls.exec(request))

    async def _attach(self, request: v1.AttachRequest) -> v1.AttachResponse:
        return v1.AttachResponse(url=self._urls.attach(request))

    async def _port_forward(self, request: v1.PortForwardRequest) -> v1.PortForwardResponse:
        return v1.PortForwardResponse(url=self._urls.port_forward(request))

    async def _events(self, stream: Stream[Any, Any]) -> None:
        request = await _received(stream)
        with _told("GetContainerEvents"):
            # Before the first event: who waits for the headers knows from then on that none is missed.
            events = self._runtime.get_container_events(request)
            await stream.send_initial_metadata()
            async for event in events:
                await stream.send_message(event)


class _Mapped:
    """What grpclib asks of a service."""

    def __init__(self, mapping: dict[str, Handler]) -> None:
        self._mapping = mapping

    def __mapping__(self) -> dict[str, Handler]:
        return self._mapping


def _unary(call: Callable[[Any], Awaitable[Any]]) -> Callable[[Stream[Any, Any]], Awaitable[None]]:
    async def serve(stream: Stream[Any, Any]) -> None:
        request = await _received(stream)
        with _told(getattr(call, "__name__", "a call")):
            response = await call(request)
        await stream.send_message(response)

    return serve


async def _received(stream: Stream[Any, Any]) -> Any:  # noqa: ANN401 - a message of any kind
    request = await stream.recv_message()
    if request is None:
        raise GRPCError(Status.INVALID_ARGUMENT, "the request carries no message")
    return request


class _told(contextlib.AbstractContextManager[None]):  # noqa: N801 - reads as a statement
    """Failures leave as gRPC errors."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, GRPCError):
            raise to_grpc(error, self._what) from error


def to_grpc(error: Exception, what: str) -> GRPCError:
    """One line; no trace of ours ever leaves."""
    if isinstance(error, PolongError):
        code = next((code for kind, code in _CODES if isinstance(error, kind)), Status.INTERNAL)
        return GRPCError(code, f"{error.reason}: {error.message}" if error.reason in _NAMED else error.message)
    if isinstance(error, OSError):
        _log.error("%s: %s", what, error)
        where = f": {error.filename}" if error.filename else ""
        return GRPCError(Status.INTERNAL, f"{error.strerror or error}{where}")
    _log.error("%s failed", what, exc_info=error)
    return GRPCError(Status.INTERNAL, f"see the log of polong ({type(error).__name__})")


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
