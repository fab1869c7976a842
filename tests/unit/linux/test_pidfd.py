"""Waiting for and signalling processes by handle."""

import asyncio
import signal
import threading

import pytest

from polong.linux import pidfd, process


async def test_many_wait_for_one_end():
    child = process.spawn(["/bin/sleep", "100"])
    with pidfd.PidFd.open(child.pid) as handle:
        assert not handle.ended()
        waiters = asyncio.gather(handle.wait(), handle.wait(), pidfd.wait(child.pid))
        await asyncio.sleep(0)
        assert handle.send(signal.SIGTERM)
        await asyncio.wait_for(waiters, 5)
        assert handle.ended()
        assert await child.wait() == 143
        await child.aclose()
        assert not handle.send(signal.SIGTERM)
    await pidfd.wait(child.pid)


async def test_waiting_can_be_cancelled():
    child = process.spawn(["/bin/sleep", "100"])
    with pidfd.PidFd.open(child.pid) as handle, pytest.raises(TimeoutError):
        await asyncio.wait_for(handle.wait(), 0.01)
    await child.aclose()


def test_no_such_process():
    with pytest.raises(ProcessLookupError):
        pidfd.PidFd.open(2**22 + 1)


def test_the_number_of_a_thread_is_no_process() -> None:
    begun, over, ids = threading.Event(), threading.Event(), list[int]()

    def live() -> None:
        ids.append(threading.get_native_id())
        begun.set()
        over.wait(10)

    thread = threading.Thread(target=live)
    thread.start()
    begun.wait(10)
    try:
        with pytest.raises(ProcessLookupError):
            pidfd.PidFd.open(ids[0])
    finally:
        over.set()
        thread.join()
