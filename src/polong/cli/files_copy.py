"""`files cp` out of a container: what comes from there is hostile, so that every name is one component, made beneath a descriptor, and
never through a link (CVE-2019-11246 and its kin).
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from polong.cli.errors import Failure
from polong.kit.errors import NotFound

Json = dict[str, Any]

_DEEPEST = 64
_MOST_ENTRIES = 100_000


class Missing(Exception):  # noqa: N818 - it says what is, not that it is wrong
    """There is no such path in the container."""


class Source(Protocol):
    async def get(self, op: str, path: str) -> Json: ...

    def read(self, path: str) -> AsyncIterator[bytes]: ...


async def described(source: Source, path: str) -> Json:
    """What is at `path`. Missing where nothing is."""
    try:
        return await source.get("stat", path)
    except NotFound:
        raise Missing(path) from None


async def out(source: Source, path: str, goal: Path) -> list[str]:
    """Copy a file or a directory to `goal`, or into it where that is a directory. What was left out: links, devices, odd names."""
    found = await source.get("stat", path)
    name = PurePosixPath(path.removeprefix(":")).name
    if goal.is_dir() and name:
        goal = goal / name
    parent = os.open(goal.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        copy = _Copy(source)
        if found["type"] == "directory":
            await copy.directory(path, parent, goal.name or ".", 0)
        elif found["type"] == "file":
            await copy.file(path, parent, goal.name, found)
        else:
            raise Failure(f"{path} is a {found['type']}, not a file or directory")
        return copy.skipped
    finally:
        os.close(parent)


class _Copy:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._entries = 0
        self.skipped: list[str] = []

    async def directory(self, path: str, parent: int, name: str, depth: int) -> None:
        if depth > _DEEPEST:
            raise Failure(f"{path} is more than {_DEEPEST} directories deep")
        listing = await self._source.get("list", path)
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=parent)
        here = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            for item in listing.get("items") or []:
                await self._entry(f"{path.rstrip('/')}/{item['name']}", here, item, depth)
        finally:
            os.close(here)
        if listing.get("truncated"):
            self.skipped.append(f"{path} has more entries than one listing holds: the rest was left out")

    async def _entry(self, path: str, here: int, item: Json, depth: int) -> None:
        self._entries += 1
        if self._entries > _MOST_ENTRIES:
            raise Failure(f"there are more than {_MOST_ENTRIES} files: copy parts")
        name = item["name"]
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            self.skipped.append(f"{path} was left out: its name is none")
        elif item["type"] == "directory":
            await self.directory(path, here, name, depth + 1)
        elif item["type"] == "file":
            try:
                await self.file(path, here, name, item)
            except NotFound:
                self.skipped.append(f"{path} was left out: it has vanished, or its name is no UTF-8")
        else:
            self.skipped.append(f"{path} was left out: it is a {item['type']}")

    async def file(self, path: str, parent: int, name: str, found: Json) -> None:
        """Whole or not at all; a link that stands there is replaced, not followed."""
        temporary = f".{name[:200]}.{os.getpid()}.part"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
        try:
            with os.fdopen(fd, "wb") as stream:
                async for chunk in self._source.read(path):
                    stream.write(chunk)
                os.fchmod(stream.fileno(), stat.S_IMODE(int(found["mode"], 8)) & 0o777)
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            os.unlink(temporary, dir_fd=parent)
            raise
