"""Copying between a client's streams and a process's, with back-pressure and an end: no copy outlives its session."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from polong.kit.stdio import Reader, TerminalSize, Writer
from polong.kit.tasks import Tasks


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


class Sizes:
    """A client's terminal sizes. The first can be waited for, without losing it when it comes later; `follow` applies them all."""

    def __init__(self, sizes: AsyncIterator[TerminalSize], tasks: Tasks) -> None:
        self._sizes = sizes
        self._first = tasks.start(_next(sizes), "first size")

    async def first(self, seconds: float) -> TerminalSize | None:
        """None where none came within `seconds`."""
        await asyncio.wait([self._first], timeout=seconds)
        return self._first.result() if self._first.done() else None

    async def follow(self, resize: Callable[[TerminalSize], None]) -> None:
        """Until the client sends no more. A terminal that is gone takes none."""
        size = await self._first
        while size is not None:
            with contextlib.suppress(OSError):
                resize(size)
            size = await _next(self._sizes)


async def _next(sizes: AsyncIterator[TerminalSize]) -> TerminalSize | None:
    return await anext(sizes, None)


async def within(seconds: float, *waits: asyncio.Task[None]) -> None:
    """Wait for all, at most so long; what is not done then is cancelled."""
    if waits:
        _, late = await asyncio.wait(waits, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
