"""ReopenContainerLog: after the log was renamed, go on in a new file of the old name."""

from __future__ import annotations

import asyncio
from pathlib import Path

from polong.cri.engine import Engine
from polong.criapi.wire import v1
from polong.kit.errors import DeadlineExceeded

# conmon is told, and answers nothing: the new file is the only sign that it went on.
_SECONDS = 5.0
_POLL = 0.002


async def reopen_container_log(engine: Engine, request: v1.ReopenContainerLogRequest) -> v1.ReopenContainerLogResponse:
    """Return when the new file is there. FailedPrecondition where the container does not run."""
    container = engine.table.running(request.container_id)
    await engine.handler(container.record.handler).supervisor.reopen_log(container.id)
    if not container.record.log_path:
        return v1.ReopenContainerLogResponse()
    try:
        async with asyncio.timeout(_SECONDS):
            while not Path(container.record.log_path).exists():  # noqa: ASYNC110 - a file of another process
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise DeadlineExceeded(f"the log of container {container.id} was not opened anew within {_SECONDS:g} s") from None
    return v1.ReopenContainerLogResponse()
