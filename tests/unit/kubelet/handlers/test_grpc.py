"""gRPC and TCP handlers against real servers on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_grpc import HealthBase
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpclib.server import Server, Stream

from polong.kubelet.handlers import grpc, tcp
from polong.kubelet.handlers.target import Answer, Result


class Health(HealthBase):
    async def Check(self, stream: Stream[HealthCheckRequest, HealthCheckResponse]) -> None:
        asked = await stream.recv_message()
        assert asked is not None
        if asked.service == "unknown":
            raise GRPCError(Status.NOT_FOUND, "unknown service")
        if asked.service == "slow":
            await asyncio.sleep(30)
        serving = HealthCheckResponse.NOT_SERVING if asked.service == "ill" else HealthCheckResponse.SERVING
        await stream.send_message(HealthCheckResponse(status=serving))

    async def Watch(self, stream: Stream[HealthCheckRequest, HealthCheckResponse]) -> None:
        raise GRPCError(Status.UNIMPLEMENTED)


class Stranger:
    """A server of something else: it answers what gRPC libraries answer to an unknown method."""

    def __mapping__(self) -> dict[str, Handler]:
        async def refuse(stream: Stream[HealthCheckRequest, HealthCheckResponse]) -> None:
            raise GRPCError(Status.UNIMPLEMENTED, "unknown method Check")

        kinds = (Cardinality.UNARY_UNARY, HealthCheckRequest, HealthCheckResponse)
        return {"/grpc.health.v1.Health/Check": Handler(refuse, *kinds)}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
async def port() -> AsyncIterator[int]:
    chosen = free_port()
    server = Server([Health()])
    await server.start("127.0.0.1", chosen)
    yield chosen
    server.close()
    await server.wait_closed()


async def test_health(port: int) -> None:
    assert await grpc.probe("127.0.0.1", port, "", 5) == Answer(Result.SUCCESS, "service healthy")
    ill = await grpc.probe("127.0.0.1", port, "ill", 5)
    assert ill == Answer(Result.FAILURE, 'service unhealthy (responded with "NOT_SERVING")')
    unknown = await grpc.probe("127.0.0.1", port, "unknown", 5)
    assert unknown == Answer(Result.FAILURE, "error: health rpc probe failed: NOT_FOUND: unknown service")


async def test_a_server_without_the_health_service() -> None:
    chosen = free_port()
    server = Server([Stranger()])
    await server.start("127.0.0.1", chosen)
    try:
        answer = await grpc.probe("127.0.0.1", chosen, "", 5)
    finally:
        server.close()
        await server.wait_closed()
    assert answer.result is Result.FAILURE
    assert answer.output.startswith("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ")


async def test_nobody_listens() -> None:
    chosen = free_port()
    answer = await grpc.probe("127.0.0.1", chosen, "", 5)
    assert answer == Answer(Result.FAILURE, f'error: failed to connect service at "127.0.0.1:{chosen}": connect: connection refused')


async def test_a_slow_server(port: int) -> None:
    answer = await grpc.probe("127.0.0.1", port, "slow", 0.3)
    assert answer.result is Result.FAILURE
    assert answer.output.startswith("timeout: ")


async def test_another_protocol() -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(web, "127.0.0.1", 0) as server:
        answer = await grpc.probe("127.0.0.1", server.sockets[0].getsockname()[1], "", 5)
    assert answer.result is Result.FAILURE
    assert "\n" not in answer.output


async def test_tcp() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(deaf, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await tcp.probe("127.0.0.1", port, 5) == Answer(Result.SUCCESS)
    assert await tcp.probe("127.0.0.1", port, 5) == Answer(Result.FAILURE, f"dial tcp 127.0.0.1:{port}: connect: connection refused")
    assert await tcp.probe("127.0.0.1", port, 0) == Answer(Result.FAILURE, f"dial tcp 127.0.0.1:{port}: i/o timeout")
    unknown = await tcp.probe("no-such-host.invalid", 80, 5)
    assert unknown.result is Result.FAILURE
    assert unknown.output.startswith("dial tcp no-such-host.invalid:80: lookup failed")
