"""`top [POD]`: what the processes of Pods use now, sorted; full screen on a terminal, one table elsewhere."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from polong.cli import output, processes
from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.flags import api_options, command, flag, option
from polong.cli.target import Target
from polong.cli.top_looks import Top

Json = dict[str, Any]

_EXAMPLES = """
polong top nginx
polong top -A --sort-by memory
polong top nginx --once -o custom-columns=PID:.pid,CPU:.cpuPercent
"""


@command("top", help="Show what the processes of a Pod use, live: keys c, m, t, p sort, q ends.", examples=_EXAMPLES)
@processes.choice
@option("--sort-by", type=click.Choice(["cpu", "memory", "time", "pid"]), default="cpu", help="What stands first.")
@option("--interval", type=float, default=2.0, metavar="SECONDS", help="Time between two looks.")
@flag("--once", help="One table, as where the output is no terminal.")
@api_options
def top(target: Target, sort_by: str, interval: float, once: bool, **flags: Any) -> None:  # noqa: ANN401
    wish = processes.wanted(flags)
    if interval < 0.2:
        raise Failure("--interval must be at least 0.2 seconds")
    shown = Top(wish, sort_by)
    live = output.screen() and wish.form.table and not once
    target.run(lambda api: _live(api, shown, interval) if live else _once(api, shown, min(interval, 1.0)))


async def _once(api: Api, shown: Top, interval: float) -> None:
    """Two looks: what is used is a difference."""
    shown.add(await processes.fetch(api, processes.plain(shown.wish)), time.monotonic())
    await asyncio.sleep(interval)
    listings = shown.add(await processes.fetch(api, shown.wish), time.monotonic())
    if shown.wish.form.table:
        output.emit("\n".join(shown.lines(listings)) + "\n")
    else:
        output.emit(processes.document(listings, shown.wish))


async def _live(api: Api, shown: Top, interval: float) -> None:
    from importlib.util import find_spec

    shown.add(await processes.fetch(api, shown.wish), time.monotonic())
    if sys.stdin.isatty() and find_spec("textual") is not None:
        from polong.cli import top_app, top_source

        await top_app.run(top_source.Looks(api, shown), interval)
        return
    from polong.cli.escape import cell
    from polong.cli.screen import live

    async def draw(columns: int, _lines: int) -> Sequence[str]:
        listings = shown.add(await processes.fetch(api, shown.wish), time.monotonic())
        return [line[:columns] for line in (cell(shown.summary(shown.items(listings))), *shown.lines(listings))]

    await asyncio.sleep(0.3)
    await live(draw, interval, shown.key)
