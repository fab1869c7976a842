"""Attach: the streams of a container's main process, through its conmon. Several clients may be attached at once."""

from __future__ import annotations

import asyncio

from polong.cri.engine import Engine
from polong.cri.table import Container
from polong.criapi.wire import v1
from polong.kit.errors import Invalid
from polong.kit.stdio import Stdio
from polong.kit.tasks import Tasks

# After the main process has ended: conmon drains its output and closes the connection by itself.
_DRAIN = 5.0


async def attach(engine: Engine, request: v1.AttachRequest, stdio: Stdio) -> None:
    """Until the main process has ended and its last output was written, or the client has left."""
    container = check(engine, request)
    supervisor = engine.handler(container.record.handler).supervisor
    wanted = Stdio(
        stdin=stdio.stdin if request.stdin else None,
        stdout=stdio.stdout if request.stdout or request.tty else None,
        stderr=stdio.stderr if request.stderr else None,
        resize=stdio.resize if request.tty else None,
        tty=request.tty,
    )
    streams = Tasks(f"attach to {container.id[:12]}")
    try:
        session = streams.start(supervisor.attach(container.id, wanted), "session")
        over = streams.start(_until(container.over), "end")
        await asyncio.wait((session, over), return_when=asyncio.FIRST_COMPLETED)
        if not session.done():
            await asyncio.wait((session,), timeout=_DRAIN)
        if session.done():
            await session
    finally:
        await streams.aclose()
        for writer in (stdio.stdout, stdio.stderr):
            if writer is not None:
                await writer.close()


def check(engine: Engine, request: v1.AttachRequest) -> Container:
    """The container, which runs; Invalid, NotFound, FailedPrecondition where there can be no session."""
    if request.tty and request.stderr:
        raise Invalid("tty and stderr cannot both be asked for: a terminal has one output")
    if not (request.stdin or request.stdout or request.stderr):
        raise Invalid("one of stdin, stdout or stderr must be asked for")
    return engine.table.running(request.container_id)


async def _until(event: asyncio.Event) -> None:
    await event.wait()
