"""ExecSync: what probes and hooks run. Output is bounded, time is bounded, and nothing of it is left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from polong.cri import processes, streaming
from polong.cri.engine import Engine
from polong.criapi.wire import v1
from polong.kit.errors import DeadlineExceeded
from polong.kit.tasks import Tasks

# Together no more than a client's message may hold (CVE-2022-1708: unbounded output took whole nodes down).
_MOST_BYTES = 8 << 20
# A child left in the background may keep the output open for ever.
_DRAIN = 2.0


async def exec_sync(engine: Engine, request: v1.ExecSyncRequest, passed: Sequence[int] = ()) -> v1.ExecSyncResponse:
    """`passed` are open descriptors that the process gets as 3, 4, … `timeout` in seconds, 0 for none; DeadlineExceeded kills
    the process. Streams are cut at 8 MiB each."""
    container = engine.table.running(request.container_id)
    limit = float(request.timeout) if request.timeout > 0 else None
    readers = Tasks(f"exec in {container.id[:12]}")
    process = None
    try:
        async with asyncio.timeout(limit):
            process = await processes.start(engine, container, list(request.cmd), terminal=False, stdin=False, passed=passed)
            container.execs[process.pid] = list(request.cmd)
            out = readers.start(streaming.collect(process.stdout, _MOST_BYTES), "stdout")
            err = readers.start(streaming.collect(process.stderr, _MOST_BYTES), "stderr") if process.stderr is not None else None
            code = await process.wait()
        waits = [task for task in (out, err) if task is not None]
        await asyncio.wait(waits, timeout=_DRAIN)
        return v1.ExecSyncResponse(
            stdout=out.result() if out.done() else b"",
            stderr=err.result() if err is not None and err.done() else b"",
            exit_code=code,
        )
    except TimeoutError:
        raise DeadlineExceeded(f"command timed out: {' '.join(request.cmd)[:200]!r} timed out after {request.timeout}s") from None
    finally:
        await readers.aclose()
        if process is not None:
            container.execs.pop(process.pid, None)
            await process.aclose()
