"""A session with a container in a terminal: raw mode around it, given back before anything else is printed."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import nullcontext

from polong.cli import terminal
from polong.kit.stdio import Stdio


async def run(session: Awaitable[int], stdio: Stdio) -> int:
    """The exit code of the command; 0 where there is none (attach)."""
    with terminal.raw(0) if stdio.tty else nullcontext():
        return await session
