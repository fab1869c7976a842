"""`restore`: make the node's objects what a backup says, while it runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import click

from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.flags import api_options, command, flag
from polong.cli.target import Target
from polong.client.transport import Call

_GROUP = "/apis/polong.dev/v1alpha1"
_CHUNK = 256 * 1024


@command(
    "restore",
    help="Make the node's objects what a backup says: what it does not hold is deleted. Leases, Events and the Node stay.",
    examples="polong restore state.backup --dry-run\npolong restore state.backup",
)
@click.argument("file", metavar="FILE")
@flag("--dry-run", help="Only say what would be done.")
@api_options
def restore(target: Target, file: str, dry_run: bool) -> None:
    if file != "-" and not Path(file).is_file():
        raise Failure(f'the path "{file}" does not exist')
    target.run(lambda api: _restore(api, file, dry_run))


async def _restore(api: Api, file: str, dry_run: bool) -> None:
    descriptor = 0 if file == "-" else os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        query = [("dryRun", "All")] if dry_run else []
        call = Call("POST", f"{_GROUP}/staterestores", query, body=_pieces(descriptor), content_type="application/vnd.sqlite3")
        async with await api.raw(call) as answer:
            done = await answer.json()
    finally:
        if descriptor:
            os.close(descriptor)
    counts = ", ".join(f"{done.get(name, 0)} {name}" for name in ("created", "updated", "deleted", "unchanged"))
    click.echo(f"{counts}{' (dry run)' if dry_run else ''}")


async def _pieces(descriptor: int) -> AsyncIterator[bytes]:
    while data := await asyncio.to_thread(os.read, descriptor, _CHUNK):
        yield data
