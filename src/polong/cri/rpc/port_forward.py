"""PortForward: one connection to a port of the Pod's loopback, made inside its network namespace by a child."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from polong.cri import streaming
from polong.cri.engine import Engine
from polong.cri.table import Sandbox
from polong.kit.errors import FailedPrecondition, Invalid
from polong.kit.stdio import Stdio
from polong.kit.tasks import Tasks

_CHUNK = 64 * 1024


async def port_forward(engine: Engine, pod_sandbox_id: str, port: int, stdio: Stdio) -> None:
    """Until both directions have ended, or the Pod's side has. Unavailable where nobody listens."""
    sandbox = check(engine, pod_sandbox_id, [port])
    connection = await engine.kernel.connect(sandbox.record.netns, port)
    reader, writer = await asyncio.open_connection(sock=connection)
    streams = Tasks(f"port {port} of {sandbox.id[:12]}")
    try:
        if stdio.stdin is not None:
            _ = streams.start(_send(stdio, writer), "to the Pod")
        with contextlib.suppress(ConnectionError):
            await streaming.drain(_Socket(reader), stdio.stdout)
    finally:
        await streams.aclose()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        if stdio.stdout is not None:
            await stdio.stdout.close()


def check(engine: Engine, pod_sandbox_id: str, ports: Iterable[int]) -> Sandbox:
    """The sandbox, which is ready; Invalid, NotFound, FailedPrecondition where nothing can be forwarded."""
    for port in ports:
        if not 1 <= port <= 65535:
            raise Invalid(f"port {port} is not in 1..65535")
    sandbox = engine.table.sandbox(pod_sandbox_id)
    if not sandbox.ready:
        raise FailedPrecondition(f"sandbox {sandbox.id} is not ready")
    return sandbox


async def _send(stdio: Stdio, writer: asyncio.StreamWriter) -> None:
    """Half-close at the end of the client's stream: the Pod may still answer."""
    assert stdio.stdin is not None
    with contextlib.suppress(ConnectionError, RuntimeError):
        while data := await stdio.stdin.read():
            writer.write(data)
            await writer.drain()
        writer.write_eof()


class _Socket:
    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def read(self) -> bytes:
        return await self._reader.read(_CHUNK)
