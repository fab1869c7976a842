"""`files edit`: a file of a container in the user's own editor; put back whole, and only over what was read."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import click

from polong.cli.errors import Failure
from polong.cli.escape import cell
from polong.kit.errors import Conflict

Json = dict[str, Any]

_MOST = 16 << 20


class Files(Protocol):
    async def get(self, op: str, path: str) -> Json: ...

    def read(self, path: str) -> AsyncIterator[bytes]: ...

    async def write(self, path: str, mode: int, pieces: AsyncIterator[bytes], expected: str = "") -> None: ...


async def edit(files: Files, path: str) -> None:
    """Owner, mode and extended attributes stay. Failure where somebody else has changed it meanwhile; what was written is kept then."""
    found = await files.get("stat", path)
    if found["type"] != "file":
        raise Failure(f"{cell(path)} is a {found['type']}: only files are edited")
    if found["sizeBytes"] > _MOST:
        raise Failure(f"{cell(path)} has {found['sizeBytes']} bytes: copy what is larger than {_MOST} (files POD cp)")
    before = b"".join([chunk async for chunk in files.read(path)])
    # A directory that nobody else may enter: an editor may write backups beside the file.
    directory = Path(tempfile.mkdtemp(prefix="polong-edit-"))
    copy = directory / (PurePosixPath(path).name or "file")
    await asyncio.to_thread(copy.write_bytes, before)
    after = await _edited(copy)
    if after == before:
        click.echo(f"{cell(path)} was left as it is", err=True)
    else:
        try:
            await files.write(path, int(found["mode"], 8) & 0o777, _whole(after), found["version"])
        except Conflict as error:
            raise Failure(f"{error.message}; your text is in {copy}") from None
        click.echo(f"{cell(path)} edited", err=True)
    await asyncio.to_thread(_remove, directory)


async def _edited(copy: Path) -> bytes:
    """What the editor left. Failure where it ended with an error, as editors do that are told to give up."""
    try:
        # $VISUAL, $EDITOR or what the machine has; on the terminal that we were started from.
        await asyncio.to_thread(click.edit, filename=str(copy))
    except click.ClickException as error:
        raise Failure(f"{error.format_message()}: nothing was written; your text is in {copy}") from None
    return await asyncio.to_thread(copy.read_bytes)


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _remove(directory: Path) -> None:
    for each in directory.iterdir():
        each.unlink()
    directory.rmdir()
