"""Pipes as streams: back-pressure, ends, left-over writers."""

import asyncio
import os
import time

import pytest

from polong.linux import fds
from polong.linux.streams import FdReader, FdWriter


async def test_a_slow_reader_slows_the_writer():
    read_end, write_end = fds.pipe()
    reader, writer = FdReader(read_end), FdWriter(write_end)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(writer.write(b"x" * 1_000_000), 0.05)
    assert await reader.read()
    await writer.close()
    while await reader.read():
        pass
    assert await reader.read() == b""


async def test_a_gone_reader_breaks_the_pipe():
    read_end, write_end = fds.pipe()
    writer = FdWriter(write_end)
    read_end.close()
    with pytest.raises(BrokenPipeError):
        await writer.write(b"x")
    await writer.close()
    with pytest.raises(BrokenPipeError):
        await writer.write(b"x")


async def test_end_after_gives_what_is_there_and_then_ends():
    read_end, write_end = fds.pipe()
    reader = FdReader(read_end)
    waiting = asyncio.gather(reader.read(), asyncio.sleep(0))
    os.write(write_end.fileno(), b"last")
    assert (await waiting)[0] == b"last"
    begin = time.monotonic()
    reader.end_after(0.05)
    assert await reader.read() == b""
    assert time.monotonic() - begin < 2
    reader.shut()
    reader.shut()
    write_end.close()


async def test_shut_wakes_a_waiting_reader():
    read_end, write_end = fds.pipe()
    reader = FdReader(read_end)

    async def close() -> None:
        reader.shut()

    assert (await asyncio.gather(reader.read(), close()))[0] == b""
    write_end.close()


async def test_a_terminal_that_hung_up_is_the_end():
    master, slave = os.openpty()
    reader = FdReader(fds.Fd(master))
    os.write(slave, b"bye")
    os.close(slave)
    assert await reader.read() == b"bye"
    assert await reader.read() == b""
