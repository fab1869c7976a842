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
from polong.cli.processes import Wanted
from polong.cli.ps_tree import POD, cpu, size, user
from polong.cli.ps_tree import command as words
from polong.cli.tabular import Table
from polong.cli.target import Target

Json = dict[str, Any]

_EXAMPLES = """
polong top nginx
polong top -A --sort-by memory
polong top nginx --once -o custom-columns=PID:.pid,CPU:.cpuPercent
"""

_COLUMNS = ("CONTAINER", "PID", "HOSTPID", "USER", "STAT", "%CPU", "RSS", "THREADS", "CPU", "COMMAND")
_WIDE = (*_COLUMNS[:-1], "PSS", "SWAP", "FILES", "COMMAND")
_KEYS = {"c": "cpu", "C": "cpu", "P": "cpu", "m": "memory", "M": "memory", "t": "time", "T": "time", "p": "pid", "N": "pid"}


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
    live = sys.stdout.isatty() and wish.form.table and not once
    target.run(lambda api: _live(api, shown, interval) if live else _once(api, shown, min(interval, 1.0)))


class Top:
    """What was seen last, to tell what was used since; and how it is sorted."""

    def __init__(self, wish: Wanted, sort: str) -> None:
        self.wish = wish
        self.sort = sort
        self._seen: dict[tuple[int, int], float] = {}
        self._at = 0.0

    def add(self, listings: Sequence[Json], now: float) -> list[Json]:
        """The listings with `cpuPercent` in each item: of one CPU, since the last look (0 for what is new), sorted."""
        passed = now - self._at
        seen: dict[tuple[int, int], float] = {}
        told = []
        for listing in listings:
            items = []
            for item in listing.get("items") or ():
                key = (item.get("hostPID", 0), item.get("startTicks", 0))
                seen[key] = used = float(item.get("cpuSeconds") or 0)
                percent = (used - self._seen.get(key, used)) / passed * 100 if passed > 0 else 0.0
                items.append({**item, "cpuPercent": round(max(percent, 0.0), 1)})
            told.append({**listing, "items": self._sorted(items)})
        self._seen, self._at = seen, now
        return told

    def _sorted(self, items: list[Json]) -> list[Json]:
        field, sign = {"cpu": ("cpuPercent", -1), "memory": ("rssBytes", -1), "time": ("cpuSeconds", -1), "pid": ("pid", 1)}[self.sort]
        return sorted(items, key=lambda item: (sign * (item.get(field) or 0), item.get("pid") or 0))

    def key(self, pressed: str) -> bool:
        """False for the key that ends it."""
        self.sort = _KEYS.get(pressed, self.sort)
        return pressed not in "qQ\x1b\x03"

    def lines(self, listings: Sequence[Json]) -> list[str]:
        items = processes.items_of(listings)
        if not self.wish.pod:
            items = self._sorted(items)
        place, wide = processes.place_columns(self.wish), self.wish.form.kind == "wide"
        table = Table((*place, *(_WIDE if wide else _COLUMNS)), headers=self.wish.headers)
        rows = [[*(item.get(name.lower(), "") for name in place), *_row(item, wide)] for item in items]
        return table.lines(rows)

    def summary(self, listings: Sequence[Json]) -> str:
        items = processes.items_of(listings)
        states = [item.get("state") for item in items]
        cpu_now = sum(item.get("cpuPercent") or 0.0 for item in items)
        memory = size(sum(item.get("rssBytes") or 0 for item in items))
        name = self.wish.pod or f"{len(listings)} pods"
        return (
            f"{name}: {len(items)} processes, {states.count('R')} running, {states.count('Z')} zombies;"
            f" CPU {cpu_now:.1f}%, RSS {memory}; by {self.sort}"
        )


def _row(item: Json, wide: bool) -> list[object]:
    cells: list[object] = [
        item.get("container") or POD,
        item.get("pid", ""),
        item.get("hostPID", ""),
        user(item),
        item.get("state", ""),
        f"{item.get('cpuPercent') or 0.0:.1f}",
        size(item.get("rssBytes")),
        item.get("threads", ""),
        cpu(item.get("cpuSeconds")),
    ]
    if wide:
        files = item.get("openFiles")
        cells += [size(item.get("pssBytes")) or "-", size(item.get("swapBytes")) or "-", "-" if files is None else files]
    return [*cells, words(item)]


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
    from polong.cli.escape import cell
    from polong.cli.screen import live

    shown.add(await processes.fetch(api, shown.wish), time.monotonic())

    async def draw(columns: int, _lines: int) -> Sequence[str]:
        listings = shown.add(await processes.fetch(api, shown.wish), time.monotonic())
        return [line[:columns] for line in (cell(shown.summary(listings)), *shown.lines(listings))]

    await asyncio.sleep(0.3)
    await live(draw, interval, shown.key)
