import asyncio

import pytest

from polong.kit.stdio import Pipe


async def test_bytes_come_out_in_order_and_end_is_forever() -> None:
    pipe = Pipe()
    await pipe.write(b"one ")
    await pipe.write(b"two")
    await pipe.close()
    await pipe.close()
    assert await pipe.read() == b"one two"
    assert await pipe.read() == b""
    assert await pipe.read() == b""


async def test_a_full_window_holds_the_writer_until_somebody_reads() -> None:
    pipe = Pipe(window=4)
    await pipe.write(b"12345")
    blocked = asyncio.ensure_future(pipe.write(b"6"))  # noqa: TID251 - the test owns it
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not blocked.done()
    assert await pipe.read() == b"12345"
    await blocked
    assert await pipe.read() == b"6"


async def test_a_writer_learns_that_the_reader_left_also_while_it_waits() -> None:
    pipe = Pipe(window=1)
    await pipe.write(b"1")
    blocked = asyncio.ensure_future(pipe.write(b"2"))  # noqa: TID251 - the test owns it
    await asyncio.sleep(0)
    await pipe.abandon()
    with pytest.raises(BrokenPipeError):
        await blocked
    with pytest.raises(BrokenPipeError):
        await pipe.write(b"3")
    assert await pipe.read() == b""
