"""`ps [POD]`: every process of a Pod, or of many, as one tree a PID namespace."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from polong.cli import output, processes
from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.escape import cell
from polong.cli.flags import api_options, command, flag, option
from polong.cli.processes import Wanted
from polong.cli.ps_tree import render
from polong.cli.target import Target

Json = dict[str, Any]

_EXAMPLES = """
polong ps nginx
polong ps nginx -c shell -o wide
polong ps -A
polong ps -l app=web -o custom-columns=POD:.pod,PID:.pid,CAPS:.capabilities.effective
"""

_HELP = "Show every process of a Pod as a tree: whose it is, its PIDs inside and outside, its state."


@command("ps", help=_HELP, examples=_EXAMPLES)
@processes.choice
@flag("-w", "--watch", help="Draw again as it changes.")
@option("--interval", type=float, default=1.0, metavar="SECONDS", help="With -w: time between two looks.")
@api_options
def ps(target: Target, watch: bool, interval: float, **flags: Any) -> None:  # noqa: ANN401
    wish = processes.wanted(flags)
    if interval < 0.1:
        raise Failure("--interval must be at least 0.1 seconds")
    if watch:
        target.run(lambda api: _watch(api, wish, interval))
    else:
        target.ask(lambda api: _ps(api, wish))


async def _ps(api: Api, wish: Wanted) -> None:
    listings = await processes.fetch(api, wish)
    if not any(listing.get("items") for listing in listings):
        click.echo(_nothing(wish, api.namespace), err=True)
        if wish.form.table:
            return
    output.emit(_text(listings, wish, output.columns()))


async def _watch(api: Api, wish: Wanted, interval: float) -> None:
    import asyncio

    listings = await processes.fetch(api, wish)
    if output.screen():
        from polong.cli.screen import live

        async def draw(columns: int, _lines: int) -> Sequence[str]:
            return _text(await processes.fetch(api, wish), wish, columns).rstrip("\n").split("\n")

        await live(draw, interval)
        return
    while True:
        shown = listings[0] if wish.pod else output.as_list(listings)
        output.emit(json.dumps(shown) + "\n" if wish.form.kind == "json" else _text(listings, wish, None) + "\n")
        await asyncio.sleep(interval)
        listings = await processes.fetch(api, wish)


def _nothing(wish: Wanted, namespace: str) -> str:
    within = f" in container {cell(wish.container)}" if wish.container else ""
    if wish.pod:
        return f"pod {cell(wish.pod)} has no processes now{within}: see polong get pods"
    where = "" if wish.everywhere else f" in namespace {cell(namespace)}"
    return f"no pod{where} has processes{within}: see polong get pods{' -A' if wish.everywhere else f' -n {cell(namespace)}'}"


def _text(listings: Sequence[Json], wish: Wanted, width: int | None) -> str:
    if not wish.form.table:
        return processes.document(listings, wish)
    wide = wish.form.kind == "wide"
    lines = render(processes.items_of(listings), wide=wide, headers=wish.headers, place=processes.place_columns(wish))
    # A wide table is asked for because something must not be cut off.
    return "".join((line if width is None or wide else line[:width]) + "\n" for line in lines)
