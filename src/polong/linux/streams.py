"""Pipes and terminals of ours as `kit.stdio` streams: non-blocking descriptors on the event loop, read only when asked (so that a
slow reader slows the writer, and nothing is buffered here).
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable

from polong.kit import stdio
from polong.linux.fds import Fd

_CHUNK = 64 * 1024
_TAIL_LIMIT = 4 << 20


class _Waiting:
    """One descriptor and at most one waiter."""

    def __init__(self, fd: Fd) -> None:
        os.set_blocking(fd.fileno(), False)
        self._fd: Fd | None = fd
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._unwatch: Callable[[], object] | None = None

    def _wake(self) -> None:
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _ready(self, *, write: bool, timeout: float | None = None) -> bool:
        """Until the descriptor is ready, or closed, or woken; False on timeout."""
        assert self._fd is not None
        number = self._fd.fileno()
        self._waiter = self._loop.create_future()
        if write:
            self._loop.add_writer(number, self._wake)
            self._unwatch = lambda: self._loop.remove_writer(number)
        else:
            self._loop.add_reader(number, self._wake)
            self._unwatch = lambda: self._loop.remove_reader(number)
        try:
            async with asyncio.timeout(timeout):
                await self._waiter
        except TimeoutError:
            return False
        finally:
            self._wake()
            self._waiter = None
        return True

    def shut(self) -> None:
        """Close now; a waiter wakes. Idempotent."""
        self._wake()
        fd, self._fd = self._fd, None
        if fd is not None:
            fd.close()


class FdReader(_Waiting):
    """The read end of a pipe, or a pty's master."""

    def __init__(self, fd: Fd) -> None:
        super().__init__(fd)
        self._deadline: float | None = None
        self._idle = 0.0
        self._tail = 0

    def end_after(self, idle: float, longest: float = 2.0) -> None:
        """From now on the stream also ends when nothing came for `idle` seconds, or (for one that never stops) after `longest`
        seconds and some MiB: the process it belonged to has ended, but a child of it may still hold the other end.
        """
        self._idle = idle
        self._deadline = self._loop.time() + longest
        self._wake()

    async def read(self) -> bytes:
        """The next bytes; b"" at the end, forever."""
        while self._fd is not None:
            if self._deadline is not None and self._tail > _TAIL_LIMIT and self._loop.time() > self._deadline:
                return b""
            try:
                data = os.read(self._fd.fileno(), _CHUNK)
            except BlockingIOError:
                if self._deadline is None:
                    await self._ready(write=False)
                elif not await self._ready(write=False, timeout=self._idle) or self._loop.time() > self._deadline:
                    return b""
                continue
            except OSError as error:
                # EIO is how the master of a pty says that the last slave is closed.
                if error.errno != errno.EIO:
                    raise
                data = b""
            if self._deadline is not None:
                self._tail += len(data)
            if not data:
                self.shut()
            return data
        return b""


class FdWriter(_Waiting):
    """The write end of a pipe, or a pty's master."""

    def __init__(self, fd: Fd) -> None:
        super().__init__(fd)
        self._busy = asyncio.Lock()

    async def write(self, data: bytes) -> None:
        """Take all of `data`. BrokenPipeError once the other side is gone."""
        view = memoryview(data)
        async with self._busy:
            while view:
                if self._fd is None:
                    raise BrokenPipeError(errno.EPIPE, "stream is closed")
                try:
                    view = view[os.write(self._fd.fileno(), view) :]
                except BlockingIOError:
                    await self._ready(write=True)
                except OSError as error:
                    if error.errno == errno.EIO:
                        raise BrokenPipeError(errno.EPIPE, "terminal is closed") from error
                    raise

    async def close(self) -> None:
        self.shut()


_reader: type[stdio.Reader] = FdReader
_writer: type[stdio.Writer] = FdWriter
