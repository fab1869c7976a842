"""Asking a gRPC server for its health: grpc.health.v1.Health/Check in clear text.

Source: kubelet pkg/probe/grpc; grpc doc/health-checking.md.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from polong.kubelet.handlers.target import Answer, Result, authority, quoted, seconds
from polong.kubelet.handlers.tcp import refusal

if TYPE_CHECKING:
    from grpclib.exceptions import GRPCError


async def probe(host: str, port: int, service: str, timeout: float) -> Answer:
    """SERVING is success, everything else is not."""
    # Imported by the first gRPC probe of a node: most nodes never have one.
    from grpclib.client import Channel
    from grpclib.exceptions import GRPCError, StreamTerminatedError
    from grpclib.health.v1.health_grpc import HealthStub
    from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

    where = quoted(authority(host, port))
    channel = Channel(host, port)
    try:
        async with asyncio.timeout(timeout):
            answer = await HealthStub(channel).Check(HealthCheckRequest(service=service), timeout=timeout)
    except TimeoutError:
        return Answer(Result.FAILURE, f"timeout: failed to connect service {where} within {seconds(timeout)}: context deadline exceeded")
    except GRPCError as error:
        return Answer(Result.FAILURE, _words(error, timeout))
    except StreamTerminatedError as error:
        return Answer(Result.FAILURE, f"error: health rpc probe failed: {error}")
    except OSError as error:
        return Answer(Result.FAILURE, f"error: failed to connect service at {where}: {refusal(error)}")
    finally:
        channel.close()
    if answer.status == HealthCheckResponse.SERVING:
        return Answer(Result.SUCCESS, "service healthy")
    known = HealthCheckResponse.ServingStatus.DESCRIPTOR.values_by_number.get(answer.status)
    return Answer(Result.FAILURE, f"service unhealthy (responded with {quoted(known.name if known else str(answer.status))})")


def _words(error: GRPCError, timeout: float) -> str:
    name, message = error.status.name, error.message or ""
    if name == "UNIMPLEMENTED":
        return f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
    if name == "DEADLINE_EXCEEDED":
        return f"timeout: health rpc did not complete within {seconds(timeout)}"
    return f"error: health rpc probe failed: {name}: {message}"
