"""`ps POD`: every process of the Pod, as one tree a PID namespace."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from typing import Any

import click

from polong.cli import output, pods
from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.flags import api_options, command, flag
from polong.cli.ps_tree import render
from polong.cli.target import Target

Json = dict[str, Any]

_GROUP = "/apis/polong.dev/v1alpha1"

_EXAMPLES = """
polong ps nginx
polong ps nginx -c shell -w
polong ps nginx -o json
"""

_HELP = "Show every process of a Pod as a tree: whose it is, its PIDs inside and outside, its state."


@command("ps", help=_HELP, examples=_EXAMPLES)
@click.argument("pod")
@click.option("-c", "--container", metavar="NAME", help="Only processes of one container.")
@flag("-w", "--watch", help="Draw again as it changes.")
@click.option("--interval", type=float, default=1.0, metavar="SECONDS", help="With -w: time between two looks.")
@click.option("-o", "--output", "form", metavar="FORMAT", help="One of wide|json|yaml|jsonpath=.")
@flag("--no-headers", help="No heading line.")
@api_options
def ps(target: Target, pod: str, container: str | None, watch: bool, interval: float, form: str | None, no_headers: bool) -> None:
    chosen = output.parse(form)
    if chosen.kind in {"name", "custom-columns"}:
        raise Failure(f"ps has no output format {form!r}: use wide, json, yaml or jsonpath=")
    if interval < 0.1:
        raise Failure("--interval must be at least 0.1 seconds")
    shown = _Shown(chosen, container, not no_headers)
    target.run(lambda api: _ps(api, pod, shown, interval if watch else 0.0))


class _Shown:
    """What of a ProcessList is printed, and how."""

    def __init__(self, form: output.Format, container: str | None, headers: bool) -> None:
        self._form = form
        self._container = container
        self._headers = headers

    def check(self, pod: Json) -> None:
        if self._container:
            pods.choose(pod, self._container)

    def text(self, listing: Json, width: int | None) -> str:
        if self._container:
            listing = {**listing, "items": [item for item in listing.get("items") or [] if item.get("container") == self._container]}
        if not self._form.table:
            return output.document(listing, self._form)
        lines = render(listing.get("items") or [], wide=self._form.kind == "wide", headers=self._headers)
        return "\n".join(line if width is None else line[:width] for line in lines) + "\n"

    def stream(self, listing: Json) -> str:
        """One look among several, for a reader that is no terminal."""
        return json.dumps(listing) + "\n" if self._form.kind == "json" else self.text(listing, None) + "\n"


async def _ps(api: Api, name: str, shown: _Shown, interval: float) -> None:
    pod = await pods.find(api, name)
    shown.check(pod)
    path = f"{_GROUP}/namespaces/{api.namespace}/pods/{pod['metadata']['name']}/processes"
    if not interval:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        output.emit(shown.text(await api.get(path), width))
        return
    if not sys.stdout.isatty():
        while True:
            output.emit(shown.stream(await api.get(path)))
            await asyncio.sleep(interval)
    await _live(api, path, shown, interval)


async def _live(api: Api, path: str, shown: _Shown, interval: float) -> None:
    """On the alternate screen, the cursor hidden; both come back whatever happens."""
    output.emit("\x1b[?1049h\x1b[?25l")
    try:
        while True:
            listing = await api.get(path)
            size = shutil.get_terminal_size()
            lines = shown.text(listing, size.columns).rstrip("\n").split("\n")[: max(1, size.lines - 1)]
            output.emit("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
            await asyncio.sleep(interval)
    finally:
        output.emit("\x1b[?25h\x1b[?1049l")
