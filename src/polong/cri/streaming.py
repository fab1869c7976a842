"""Copying between a client's streams and a process's, with back-pressure and an end: no copy outlives its session."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from polong.kit.stdio import Reader, TerminalSize, Writer


class _ByteReader(Protocol):
    async def read(self) -> bytes: ...


async def copy(source: _ByteReader, sink: Writer) -> None:
    """Until the source ends. BrokenPipeError where the sink does not take any more."""
    while data := await source.read():
        await sink.write(data)


async def copy_then_close(source: Reader, sink: Writer) -> None:
    """Until either side ends; then the sink's reader sees the end."""
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionError):
            await copy(source, sink)
    finally:
        await sink.close()


async def drain(source: _ByteReader, sink: Writer | None) -> None:
    """As `copy`, but a sink that is gone does not stop the reading: else the process would block on a full pipe."""
    while data := await source.read():
        if sink is None:
            continue
        try:
            await sink.write(data)
        except (BrokenPipeError, ConnectionError):
            sink = None


async def collect(source: _ByteReader, limit: int) -> bytes:
    """The first `limit` bytes; the rest is read and dropped, so that memory stays bounded and the process runs on."""
    kept = bytearray()
    while data := await source.read():
        kept += data[: max(0, limit - len(kept))]
    return bytes(kept)


async def follow(sizes: AsyncIterator[TerminalSize], resize: Callable[[TerminalSize], None]) -> None:
    """Apply each new size; a terminal that is gone takes none."""
    async for size in sizes:
        with contextlib.suppress(OSError):
            resize(size)


async def within(seconds: float, *waits: asyncio.Task[None]) -> None:
    """Wait for all, at most so long; what is not done then is cancelled."""
    if waits:
        _, late = await asyncio.wait(waits, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
