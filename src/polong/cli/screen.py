"""A full screen that is drawn again and again: alternate screen, no cursor, single keys; all restored whatever happens."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import click

from polong.cli import output

Draw = Callable[[int, int], Awaitable[Sequence[str]]]
"""(columns, lines) of the terminal -> what to show."""


async def live(draw: Draw, interval: float, keys: Callable[[str], bool] | None = None) -> None:
    """Until Ctrl-C (click.Abort), or until `keys` (told every key that is pressed) answers False. A key draws again at once."""
    pressed = asyncio.Event()
    interrupted = asyncio.Event()
    going = [True]

    def read() -> None:
        data = os.read(0, 64)
        for key in data.decode("utf-8", "ignore"):
            going[0] = going[0] and (keys is None or keys(key))
        if not data:
            asyncio.get_running_loop().remove_reader(0)
        pressed.set()

    with _screen(), _keys(read if keys is not None else None), _interrupts(interrupted):
        try:
            while going[0] and not interrupted.is_set():
                pressed.clear()
                size = shutil.get_terminal_size()
                lines = (await draw(size.columns, size.lines))[: max(1, size.lines - 1)]
                output.emit("\x1b[H" + "".join(f"{line}\x1b[0m\x1b[K\n" for line in lines) + "\x1b[J")
                with suppress(TimeoutError):
                    async with asyncio.timeout(interval):
                        await pressed.wait()
        except asyncio.CancelledError:
            if not interrupted.is_set():
                raise
    if interrupted.is_set():
        raise click.Abort


@contextmanager
def _interrupts(interrupted: asyncio.Event) -> Iterator[None]:
    """Ctrl-C sets `interrupted` and cancels what is awaited. By the loop's own handler, which wakes it: one that Python calls between two
    instructions is heard only when the loop turns anyway."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def interrupt() -> None:
        interrupted.set()
        if task is not None:
            task.cancel()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        if interrupted.is_set() and task is not None:
            task.uncancel()


@contextmanager
def _screen() -> Iterator[None]:
    output.emit("\x1b[?1049h\x1b[?25l")
    try:
        yield
    finally:
        output.emit("\x1b[?25h\x1b[?1049l")


@contextmanager
def _keys(read: Callable[[], None] | None) -> Iterator[None]:
    """Keys one by one, without echo; nothing where standard input is no terminal."""
    if read is None or not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(0)
    loop = asyncio.get_running_loop()
    tty.setcbreak(0)
    loop.add_reader(0, read)
    try:
        yield
    finally:
        loop.remove_reader(0)
        termios.tcsetattr(0, termios.TCSADRAIN, before)
