"""Byte streams between layers: what exec, attach and port-forward carry from a client's socket to a container.

Back-pressure is the rule: `write` returns when there is room, `read` returns b"" at the end, forever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


class Reader(Protocol):
    async def read(self) -> bytes:
        """The next bytes, at least one; b"" at the end of the stream."""
        ...


class Writer(Protocol):
    async def write(self, data: bytes) -> None:
        """Wait for room, then take all of `data`. BrokenPipeError once the other side is gone."""
        ...

    async def close(self) -> None:
        """End of stream. Idempotent."""
        ...


@dataclass(frozen=True)
class TerminalSize:
    """Columns and rows of a terminal."""

    width: int
    height: int


@dataclass(frozen=True)
class Stdio:
    """The client's end of a session: `stdin` is read from, `stdout` and `stderr` are written to; None where not asked for."""

    stdin: Reader | None = None
    stdout: Writer | None = None
    stderr: Writer | None = None
    resize: AsyncIterator[TerminalSize] | None = None
    tty: bool = False


class Pipe:
    """An in-memory stream with a bounded window: a Writer at one end, a Reader at the other."""

    def __init__(self, window: int = 256 * 1024) -> None:
        self._window = window
        self._chunks: list[bytes] = []
        self._size = 0
        self._closed = False
        self._reader_gone = False
        self._changed = asyncio.Condition()

    async def write(self, data: bytes) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._size < self._window or self._reader_gone or self._closed)
            if self._reader_gone or self._closed:
                raise BrokenPipeError("stream is closed")
            if data:
                self._chunks.append(bytes(data))
                self._size += len(data)
            self._changed.notify_all()

    async def close(self) -> None:
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def read(self) -> bytes:
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._chunks) or self._closed or self._reader_gone)
            data = b"".join(self._chunks)
            self._chunks.clear()
            self._size = 0
            self._changed.notify_all()
            return data

    async def abandon(self) -> None:
        """The reader leaves: writers get BrokenPipeError. Idempotent."""
        async with self._changed:
            self._reader_gone = True
            self._chunks.clear()
            self._size = 0
            self._changed.notify_all()


_reader: type[Reader] = Pipe
_writer: type[Writer] = Pipe
