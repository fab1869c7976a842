"""The user's terminal as the client's end of a session: raw while it lasts, sizes as they change, restored always."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from polong.cli.errors import Failure
from polong.kit.stdio import Reader, Stdio, TerminalSize, Writer

_CHUNK = 32 * 1024
_DETACH = b"\x10\x11"  # ctrl-p ctrl-q


class Detached(Exception):  # noqa: N818 - the user's wish, no error
    """The user left by ctrl-p ctrl-q."""


class Stdin:
    """A Reader of a descriptor, without threads that would outlive the session. `detach` makes ctrl-p ctrl-q end it."""

    def __init__(self, descriptor: int = 0, *, detach: Callable[[], None] | None = None) -> None:
        self._descriptor = descriptor
        self._detach = detach
        self._held = b""

    async def read(self) -> bytes:
        while True:
            data = await self._next()
            if not data or self._detach is None:
                return data
            data = self._watch_for_detach(data)
            if data:
                return data

    def _watch_for_detach(self, data: bytes) -> bytes:
        """A ctrl-p waits for what follows it: it is passed on unless that is ctrl-q."""
        data, self._held = self._held + data, b""
        if _DETACH in data and self._detach is not None:
            self._detach()
            return data[: data.index(_DETACH)]
        if data.endswith(_DETACH[:1]):
            self._held, data = data[-1:], data[:-1]
        return data

    async def _next(self) -> bytes:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        try:
            loop.add_reader(self._descriptor, wake)
        except PermissionError:
            # epoll refuses regular files, which are always readable.
            return os.read(self._descriptor, _CHUNK)
        try:
            await ready
        finally:
            loop.remove_reader(self._descriptor)
        try:
            return os.read(self._descriptor, _CHUNK)
        except OSError:
            return b""  # the terminal hung up


class Output:
    """A Writer to a descriptor that may be slow: it waits in a thread, never in the loop."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def write(self, data: bytes) -> None:
        if data:
            await asyncio.to_thread(self._all, data)

    def _all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    async def close(self) -> None:
        pass


_: tuple[type[Reader], type[Writer]] = (Stdin, Output)


def size(descriptor: int = 1) -> TerminalSize:
    found = os.get_terminal_size(descriptor)
    return TerminalSize(found.columns or 80, found.lines or 24)


async def sizes(*, nudge: bool = False) -> AsyncIterator[TerminalSize]:
    """The size now, and again whenever it changes. With `nudge` first one column and row more: it makes what already runs draw anew."""
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, changed.set)
    try:
        if nudge:
            now = size(0)
            yield TerminalSize(now.width + 1, now.height + 1)
        while True:
            changed.clear()
            yield size(0)
            await changed.wait()
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


@contextmanager
def raw(descriptor: int = 0) -> Iterator[None]:
    """Raw mode; the old mode comes back on every way out, also when a signal ends the session."""
    before = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    ending = (signal.SIGTERM, signal.SIGHUP)
    for signum in ending:
        loop.add_signal_handler(signum, lambda: task.cancel() if task else None)
    try:
        tty.setraw(descriptor, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        for signum in ending:
            loop.remove_signal_handler(signum)


def wants_terminal(stdin: bool, terminal: bool) -> bool:
    """What -i and -t come to here. kubectl goes on without a terminal where there is none."""
    if not terminal:
        return False
    if not stdin:
        raise Failure("-t needs -i: a terminal without input is of no use")
    if not sys.stdin.isatty():
        print("Unable to use a TTY - input is not a terminal or the right kind of file", file=sys.stderr)
        return False
    return True


def streams(*, stdin: bool, terminal: bool, nudge: bool = False, detach: Callable[[], None] | None = None) -> Stdio:
    """Our descriptors as a session's stdio. On a terminal the container's error output comes through the same stream."""
    sys.stdout.flush()
    return Stdio(
        stdin=Stdin(0, detach=detach if terminal else None) if stdin else None,
        stdout=Output(1),
        stderr=None if terminal else Output(2),
        resize=sizes(nudge=nudge) if terminal else None,
        tty=terminal,
    )


def both_terminals() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
