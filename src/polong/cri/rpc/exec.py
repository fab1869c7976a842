"""Exec: a command in a running container, on the client's streams."""

from __future__ import annotations

import asyncio
import contextlib

from polong.cri import processes, streaming
from polong.cri.engine import Engine
from polong.cri.ports import ExecProcess
from polong.cri.table import Container
from polong.criapi.wire import v1
from polong.kit.errors import Invalid, PolongError
from polong.kit.stdio import Stdio
from polong.kit.tasks import Tasks

# After the command has ended: what it wrote is in the pipes, only a child left behind can keep them open.
_DRAIN = 5.0
# A client that has a terminal tells its size at once, in a message of its own; a short command asks for it at once, too.
_FIRST_SIZE = 0.1
# After the client has left: it got EOF or SIGHUP and may still tidy up.
_AFTER_CLIENT = 2.0


async def exec(engine: Engine, request: v1.ExecRequest, stdio: Stdio) -> int:  # noqa: A001 - the RPC's own name
    """The exit code, once the output was written to the client."""
    container = check(engine, request)
    streams = Tasks(f"exec in {container.id[:12]}")
    sizes = streaming.Sizes(stdio.resize, streams) if stdio.resize is not None and request.tty else None
    try:
        size = await sizes.first(_FIRST_SIZE) if sizes else None
        process = await processes.start(engine, container, list(request.cmd), terminal=request.tty, stdin=request.stdin, size=size)
    except BaseException:
        await streams.aclose()
        raise
    ended = False
    try:
        if size is not None:
            # crun 1.8 does not heed the document's size.
            process.resize(size)
        outputs = _outputs(streams, request, process, stdio)
        if stdio.stdin is not None and process.stdin is not None:
            _ = streams.start(streaming.copy_then_close(stdio.stdin, process.stdin), "stdin")
        if sizes is not None:
            _ = streams.start(sizes.follow(process.resize), "resize")
        code = await process.wait()
        ended = True
        await streaming.within(_DRAIN, *outputs)
        return code
    finally:
        if not ended:
            await _leave(process)
        await streams.aclose()
        await process.aclose()
        for writer in (stdio.stdout, stdio.stderr):
            if writer is not None:
                await writer.close()


def check(engine: Engine, request: v1.ExecRequest) -> Container:
    """The container, which runs; Invalid, NotFound, FailedPrecondition where there can be no session."""
    if request.tty and request.stderr:
        raise Invalid("tty and stderr cannot both be asked for: a terminal has one output")
    if not (request.stdin or request.stdout or request.stderr):
        raise Invalid("one of stdin, stdout or stderr must be asked for")
    return engine.table.running(request.container_id)


def _outputs(streams: Tasks, request: v1.ExecRequest, process: ExecProcess, stdio: Stdio) -> list[asyncio.Task[None]]:
    """What is not asked for is read too: a process must not block on a pipe that nobody empties."""
    outputs = [streams.start(streaming.drain(process.stdout, stdio.stdout if request.stdout else None), "stdout")]
    if process.stderr is not None:
        outputs.append(streams.start(streaming.drain(process.stderr, stdio.stderr if request.stderr else None), "stderr"))
    return outputs


async def _leave(process: ExecProcess) -> None:
    """The client has gone: its process gets the end of its input, or its terminal's hangup, and a moment to heed it."""
    if process.stdin is not None:
        await process.stdin.close()
    with contextlib.suppress(TimeoutError, PolongError):
        async with asyncio.timeout(_AFTER_CLIENT):
            await process.wait()
