"""`backup`: all objects of the node as one file, while it runs."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click

from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.flags import api_options, command
from polong.cli.target import Target
from polong.client.transport import Call

_GROUP = "/apis/polong.dev/v1alpha1"


@command(
    "backup",
    help="Write all objects of the node into a file. It holds Secrets as they are: keep it as you would keep them.",
    examples="polong backup state.backup\npolong backup - | gpg -e -r me > state.gpg",
)
@click.argument("file", metavar="FILE")
@api_options
def backup(target: Target, file: str) -> None:
    if file == "-" and sys.stdout.isatty():
        raise Failure("refusing to write a backup to a terminal: give a file or redirect the output")
    target.run(lambda api: _backup(api, file))


async def _backup(api: Api, file: str) -> None:
    call = Call("GET", f"{_GROUP}/statebackups", (), {"accept": "*/*"})
    if file == "-":
        async for chunk in api.chunks(call):
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    temporary = Path(file + ".part")
    size = 0
    try:
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as stream:
            async for chunk in api.chunks(call):
                size += await asyncio.to_thread(stream.write, chunk)
            stream.flush()
            await asyncio.to_thread(os.fsync, stream.fileno())
        temporary.rename(file)
    finally:
        temporary.unlink(missing_ok=True)
    click.echo(f"{file}: {size} bytes")
