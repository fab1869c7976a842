"""A session's course, whatever carries it: read the client and do the work side by side, tell the outcome, leave nothing behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

from polong.kit import errors
from polong.kit.stdio import Stdio, TerminalSize
from polong.kit.tasks import Tasks

Json = dict[str, Any]
Work = Callable[[Stdio], Awaitable[Json]]
"""Serves the streams; the Status of its end. Raises what Node raises."""

# How long work may go on after its client left: it has seen the end of its stdin, and its output goes nowhere.
DRAIN_SECONDS = 5.0
# The same for a session that is cancelled: the server stops, or drops a lost connection.
CANCELLED_SECONDS = 2.0

_log = logging.getLogger(__name__)


class Wire(Protocol):
    """One client. `hang_up` ends stdin and breaks the outputs; idempotent, and all that cleanup needs."""

    stdio: Stdio

    async def read(self) -> None:
        """Take in what the client sends, until it leaves or breaks the protocol (which is logged, not raised)."""
        ...

    async def finish(self, status: Json) -> None:
        """Tell the outcome and close in order."""
        ...

    async def hang_up(self) -> None: ...


async def conduct(wire: Wire, work: Work) -> None:
    """From the first byte to the last. Cancelling it is the same as the client leaving, with a shorter wait."""
    tasks = Tasks("session")
    reading = tasks.start(wire.read(), "read")
    working = tasks.start(_outcome(work, wire.stdio), "work")
    try:
        await asyncio.wait({reading, working}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            await wire.hang_up()
            await asyncio.wait({working}, timeout=DRAIN_SECONDS)
        elif not reading.done():
            await wire.finish(working.result())
    except asyncio.CancelledError:
        await wire.hang_up()
        await asyncio.wait({working}, timeout=min(CANCELLED_SECONDS, DRAIN_SECONDS))
        raise
    finally:
        await wire.hang_up()
        await tasks.aclose()


async def _outcome(work: Work, stdio: Stdio) -> Json:
    try:
        return await work(stdio)
    except errors.PolongError as error:
        return failure(error.message)
    except (BrokenPipeError, ConnectionError):
        return failure("the client left")
    except Exception as error:
        _log.exception("a session failed")
        return failure(f"see the node's log ({type(error).__name__})")


def failure(message: str) -> Json:
    """The Status of a session that failed otherwise than by its command's exit code."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }


class Resizes:
    """Terminal sizes as they change. Only the newest is kept: a slow reader misses steps, never the last."""

    def __init__(self) -> None:
        self._newest: TerminalSize | None = None
        self._closed = False
        self._changed = asyncio.Event()

    def put(self, size: TerminalSize) -> None:
        self._newest = size
        self._changed.set()

    def close(self) -> None:
        self._closed = True
        self._changed.set()

    def __aiter__(self) -> AsyncIterator[TerminalSize]:
        return self

    async def __anext__(self) -> TerminalSize:
        while self._newest is None:
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        size, self._newest = self._newest, None
        return size
