"""Tasks with owners: nothing runs that nobody will stop, and no failure is lost.

`Tasks` is a long-lived, cancellable set (asyncio.TaskGroup ends at its first failure, which a daemon must not).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Tasks:
    """A set of named tasks with one owner; `aclose` cancels and awaits them all. A task that fails is logged by name."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def start(self, coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run `coroutine` until it ends or the owner closes. Raises RuntimeError after aclose."""
        if self._closed:
            coroutine.close()
            raise RuntimeError(f"{self._owner} is closed")
        task = asyncio.create_task(coroutine, name=f"{self._owner}/{name}")  # noqa: TID251 - the one place
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task %s failed: %s", task.get_name(), error, exc_info=error)

    def __len__(self) -> int:
        return len(self._tasks)

    async def aclose(self) -> None:
        """Cancel all and wait for them. Idempotent."""
        self._closed = True
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
