"""inotify(7) on the event loop: names of files that were completed or renamed into one directory."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path

from polong.linux import libc
from polong.linux.fds import Fd
from polong.linux.flags import IN

_HEADER = struct.Struct("iIII")


class DirectoryWatch:
    """Watch one directory; close after use. What happened before the watch began must be read by listing, afterwards."""

    def __init__(self, directory: Path, mask: int = IN.CLOSE_WRITE | IN.MOVED_TO) -> None:
        """OSError where the directory is missing, or the host's inotify limits are reached."""
        self._fd = Fd(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        try:
            libc.inotify_add_watch(self._fd.fileno(), os.fsencode(directory), mask | IN.ONLYDIR)
        except OSError:
            self._fd.close()
            raise

    async def names(self) -> AsyncIterator[str | None]:
        """Names as they come; None where the kernel dropped some (list the directory again). Ends when the directory is deleted."""
        while True:
            await self.readable()
            for mask, name in self.take():
                if mask & IN.IGNORED:
                    return
                yield None if mask & IN.Q_OVERFLOW else name

    def take(self) -> list[tuple[int, str]]:
        """(mask, name) of what is waiting; empty where nothing is."""
        try:
            return _parse(os.read(self._fd.fileno(), 64 * 1024))
        except BlockingIOError:
            return []

    async def readable(self, until: asyncio.Future[int] | None = None) -> None:
        """Until something waits, or `until` is done."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def wake(*_: object) -> None:
            if not ready.done():
                ready.set_result(None)

        loop.add_reader(self._fd.fileno(), wake)
        if until is not None:
            until.add_done_callback(wake)
        try:
            await ready
        finally:
            loop.remove_reader(self._fd.fileno())
            if until is not None:
                until.remove_done_callback(wake)

    def close(self) -> None:
        self._fd.close()

    def __enter__(self) -> DirectoryWatch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _parse(data: bytes) -> list[tuple[int, str]]:
    events: list[tuple[int, str]] = []
    offset = 0
    while offset + _HEADER.size <= len(data):
        _, mask, _, length = _HEADER.unpack_from(data, offset)
        offset += _HEADER.size
        events.append((mask, os.fsdecode(data[offset : offset + length].rstrip(b"\0"))))
        offset += length
    return events


async def wait_for(path: Path, until: asyncio.Future[int]) -> bool:
    """Until the file `path` is complete (written and closed, or renamed to that name), True; False once `until` is done first."""
    with DirectoryWatch(path.parent) as watch:
        while not (path.exists() and path.stat().st_size > 0):
            if until.done():
                return path.exists() and path.stat().st_size > 0
            await watch.readable(until)
            watch.take()
    return True
