import asyncio
import logging

import pytest

from polong.kit.tasks import Tasks


async def test_aclose_cancels_and_awaits_everything() -> None:
    ended = []

    async def forever(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # a clean-up that needs the loop
            ended.append(name)

    tasks = Tasks("test")
    tasks.start(forever("a"), "a")
    tasks.start(forever("b"), "b")
    await asyncio.sleep(0)
    await tasks.aclose()
    assert sorted(ended) == ["a", "b"]
    assert len(tasks) == 0


async def test_a_failure_is_logged_by_name_and_spares_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise ValueError("no luck")

    tasks = Tasks("owner")
    other = tasks.start(asyncio.Event().wait(), "other")
    with caplog.at_level(logging.ERROR):
        failed = tasks.start(fails(), "fails")
        await asyncio.wait([failed])
        await asyncio.sleep(0)
    assert "owner/fails" in caplog.text
    assert "no luck" in caplog.text
    assert not other.done()
    await tasks.aclose()


async def test_nothing_starts_after_aclose() -> None:
    tasks = Tasks("test")
    await tasks.aclose()
    with pytest.raises(RuntimeError, match="test is closed"):
        tasks.start(asyncio.sleep(0), "late")


async def test_a_task_may_close_its_own_owner() -> None:
    tasks = Tasks("test")

    async def closes() -> str:
        await tasks.aclose()
        return "done"

    assert await tasks.start(closes(), "closes") == "done"
