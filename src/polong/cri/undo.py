"""The way back of a half-made thing: steps are noted before what they undo is tried, and run in reverse, each exactly once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from polong.kit.tasks import Tasks

_log = logging.getLogger(__name__)

Step = Callable[[], Awaitable[object]]


class Undo:
    """Every step must be idempotent, and harmless where the thing was never done: a step is noted before the deed."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._steps: list[tuple[str, Step]] = []

    def note(self, name: str, step: Step) -> None:
        self._steps.append((name, step))

    async def run(self, tasks: Tasks) -> list[str]:
        """Undo everything, also where the caller is being cancelled; what failed, one line each."""
        work = tasks.start(self._run(), f"undo {self._what}")
        cancelled = False
        while not work.done():
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                if work.cancelled():
                    raise
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError
        return work.result()

    async def _run(self) -> list[str]:
        failures = []
        while self._steps:
            name, step = self._steps.pop()
            try:
                await step()
            except Exception as error:
                _log.error("cannot undo %s of %s: %s", name, self._what, error)
                failures.append(f"{name}: {error}")
        return failures
