"""The wish to stop, and steps of stopping that may hang: what every server of ours shares."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable

from polong.kit.errors import PolongError
from polong.kit.tasks import Tasks

_log = logging.getLogger(__name__)

_STEP = 8.0


class Stop:
    """From signals: SIGTERM and SIGINT stop, SIGUSR1 asks to `clear` as well, SIGPWR says that the machine goes `down`.
    Made inside a running loop."""

    def __init__(self) -> None:
        self.clear = self.down = False
        self._event = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGPWR):
            loop.add_signal_handler(signum, self._signal, signum)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)

    def _signal(self, signum: signal.Signals) -> None:
        self.clear = self.clear or signum == signal.SIGUSR1
        self.down = self.down or signum == signal.SIGPWR
        self._event.set()

    @property
    def asked(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        await self._event.wait()

    async def first(self, starting: Awaitable[None]) -> None:
        """Start, unless a signal comes first."""
        tasks = Tasks("start")
        task = tasks.start(_finish(starting), "start of the node")
        stop = tasks.start(self.wait(), "wish to stop")
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if task.done() and (error := await task) is not None:
                raise error
        finally:
            await tasks.aclose()


async def _finish(starting: Awaitable[None]) -> Exception | None:
    """What stands in the way is a result, told once by whoever waits for it."""
    try:
        await starting
    except Exception as error:
        return error
    return None


async def bounded(step: Callable[[], Awaitable[None]], what: str) -> None:
    """One step of stopping: it may fail or hang, the next one comes anyway."""
    try:
        async with asyncio.timeout(_STEP):
            await step()
    except TimeoutError:
        _log.error("closing %s took more than %.0f s", what, _STEP)
    except (PolongError, OSError) as error:
        _log.error("closing %s: %s", what, error)
