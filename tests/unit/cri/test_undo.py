from __future__ import annotations

import asyncio

import pytest

from polong.cri.undo import Undo
from polong.kit.tasks import Tasks


async def test_steps_run_in_reverse_and_failures_do_not_stop_them() -> None:
    tasks, undo, done = Tasks("test"), Undo("thing"), []

    async def step(name: str, *, fail: bool = False) -> None:
        done.append(name)
        if fail:
            raise OSError("disk on fire")

    undo.note("one", lambda: step("one"))
    undo.note("two", lambda: step("two", fail=True))
    undo.note("three", lambda: step("three"))
    assert await undo.run(tasks) == ["two: disk on fire"]
    assert done == ["three", "two", "one"]
    assert await undo.run(tasks) == []


async def test_a_cancelled_caller_still_undoes_everything() -> None:
    tasks, undo, done = Tasks("test"), Undo("thing"), []
    gate = asyncio.Event()

    async def slow() -> None:
        await gate.wait()
        done.append("slow")

    undo.note("slow", slow)
    caller = tasks.start(undo.run(tasks), "caller")
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.sleep(0)
    assert done == []
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done == ["slow"]
