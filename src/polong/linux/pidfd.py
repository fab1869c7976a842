"""A process by pidfd: a handle that never names another process, even after the number is used again (pidfd_open(2))."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
from types import TracebackType

from polong.linux.fds import Fd


class PidFd:
    """A running process. Build with `PidFd.open`; close after use."""

    def __init__(self, pid: int, fd: Fd) -> None:
        self.pid = pid
        self._fd = fd

    @classmethod
    def open(cls, pid: int) -> PidFd:
        """ProcessLookupError where no process has that number."""
        try:
            return cls(pid, Fd(os.pidfd_open(pid)))
        except OSError as error:
            # EINVAL (Linux 6.1) or ENOENT (6.15): the number is a thread's, or its process is reaped and somebody still holds it.
            if error.errno in (errno.EINVAL, errno.ENOENT) and pid > 0:
                raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from error
            raise

    def fileno(self) -> int:
        return self._fd.fileno()

    def send(self, number: int) -> bool:
        """Send a signal; False where the process has already ended."""
        try:
            signal.pidfd_send_signal(self._fd.fileno(), number)
        except ProcessLookupError:
            return False
        return True

    def ended(self) -> bool:
        """True for a process that ended, reaped or not."""
        poll = select.poll()
        poll.register(self._fd.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    async def wait(self) -> None:
        """Until the process has ended. Any process, not only children. Cancellable; several may wait at once."""
        if self.ended():
            return
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not done.done():
                done.set_result(None)

        # A copy of the descriptor a waiter: the loop keeps one callback a descriptor.
        with Fd(os.dup(self._fd.fileno())) as watched:
            loop.add_reader(watched.fileno(), wake)
            try:
                await done
            finally:
                loop.remove_reader(watched.fileno())

    def close(self) -> None:
        self._fd.close()

    def __enter__(self) -> PidFd:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


async def wait(pid: int) -> None:
    """Until process `pid` has ended; at once where there is none."""
    try:
        handle = PidFd.open(pid)
    except ProcessLookupError:
        return
    with handle:
        await handle.wait()
