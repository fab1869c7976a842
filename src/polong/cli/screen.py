"""A full screen that is drawn again and again: alternate screen, no cursor, single keys; all restored whatever happens."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import termios
import tty
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from polong.cli import output

Draw = Callable[[int, int], Awaitable[Sequence[str]]]
"""(columns, lines) of the terminal -> what to show."""


async def live(draw: Draw, interval: float, keys: Callable[[str], bool] | None = None) -> None:
    """Until Ctrl-C, or until `keys` (told every key that is pressed) answers False. A key draws again at once."""
    pressed = asyncio.Event()
    going = [True]

    def read() -> None:
        data = os.read(0, 64)
        for key in data.decode("utf-8", "ignore"):
            going[0] = going[0] and (keys is None or keys(key))
        if not data:
            asyncio.get_running_loop().remove_reader(0)
        pressed.set()

    with _screen(), _keys(read if keys is not None else None):
        while going[0]:
            pressed.clear()
            size = shutil.get_terminal_size()
            lines = (await draw(size.columns, size.lines))[: max(1, size.lines - 1)]
            output.emit("\x1b[H" + "".join(f"{line}\x1b[0m\x1b[K\n" for line in lines) + "\x1b[J")
            with suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await pressed.wait()


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
