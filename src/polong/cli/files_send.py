"""`files cp` into a container: one file, or a directory as a tar archive that the node unpacks beneath one directory of the container."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from polong.cli import files_copy
from polong.cli.errors import Failure
from polong.kit import tarstream
from polong.kit.tarstream import Entry

Json = dict[str, Any]

_CHUNK = 256 * 1024
# A FIFO is looked at, not waited for.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Goal(files_copy.Source, Protocol):
    async def write(self, path: str, mode: int, pieces: AsyncIterator[bytes], expected: str = "") -> None: ...

    async def extract(self, path: str, pieces: AsyncIterator[bytes]) -> Json: ...


async def into(goal: Goal, source: str, path: str) -> list[str]:
    """Copy a file or a directory of ours to `path`, or into it where that is a directory. What was left out. Failure, PolongError."""
    fd = os.open(source, _READ)
    try:
        about = os.fstat(fd)
        if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
            raise Failure(f"{source} is neither a file nor a directory: nothing else is copied into a container")
        name = PurePosixPath(os.path.abspath(source)).name if not source.endswith("/.") else ""  # noqa: PTH100 - as the user wrote it
        with suppress(files_copy.Missing):
            if name and (await files_copy.described(goal, path))["type"] == "directory":
                path = f"{path.rstrip('/')}/{name}"
        if stat.S_ISREG(about.st_mode):
            with os.fdopen(os.dup(fd), "rb") as stream:
                await goal.write(path, stat.S_IMODE(about.st_mode) & 0o777, _read(stream))
            return []
    finally:
        os.close(fd)
    archive = Archive(Path(source))
    answer = await goal.extract(path, _aside(archive.blocks()))
    return [*archive.left_out, *(answer.get("leftOut") or [])]


async def _read(stream: Any) -> AsyncIterator[bytes]:  # noqa: ANN401
    while data := await asyncio.to_thread(stream.read, _CHUNK):
        yield data


async def _aside(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """In pieces of some size, read in a thread."""

    def gather() -> bytes:
        data = bytearray()
        for block in blocks:
            data += block
            if len(data) >= _CHUNK:
                break
        return bytes(data)

    while data := await asyncio.to_thread(gather):
        yield data


class Archive:
    """A directory of ours as tar. Links go as they are; what is neither file, directory nor link is left out, by name."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self.left_out: list[str] = []

    def blocks(self) -> Iterator[bytes]:
        for directory, names, files, fd in os.fwalk(os.fsencode(self._top), onerror=self._unreadable):
            prefix = os.path.relpath(directory, os.fsencode(self._top)).removeprefix(b".")
            prefix = prefix + b"/" if prefix else b""
            yield _header(prefix or b"./", tarstream.DIRECTORY, os.fstat(fd))
            names.sort()
            # A link to a directory counts as a directory here, and is not entered.
            for name in sorted([*files, *names]):
                yield from self._one(fd, name, prefix + name)
        yield tarstream.END

    def _one(self, parent: int, name: bytes, path: bytes) -> Iterator[bytes]:
        try:
            about = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISLNK(about.st_mode):
                yield _header(path, tarstream.SYMLINK, about, link=os.readlink(name, dir_fd=parent))
            elif stat.S_ISREG(about.st_mode):
                yield from self._file(os.open(name, _READ | os.O_NOFOLLOW, dir_fd=parent), path)
            elif not stat.S_ISDIR(about.st_mode):
                self._left(path, "it is no file, directory or link")
        except OSError as error:
            self._left(path, str(error.strerror or error).lower())

    def _file(self, fd: int, path: bytes) -> Iterator[bytes]:
        with os.fdopen(fd, "rb", buffering=0) as stream:
            about = os.fstat(fd)
            left = about.st_size
            yield _header(path, tarstream.REGULAR, about, size=left)
            while left and (data := stream.read(min(_CHUNK, left))):
                yield data
                left -= len(data)
            if left:
                raise Failure(f"{os.fsdecode(path)} became shorter while it was read")
            yield tarstream.padding(about.st_size)

    def _unreadable(self, error: OSError) -> None:
        self._left(os.fsencode(error.filename or ""), str(error.strerror or error).lower())

    def _left(self, path: bytes, why: str) -> None:
        self.left_out.append(f"{path.decode('utf-8', 'backslashreplace')} was left out: {why}")


def _header(name: bytes, kind: bytes, about: os.stat_result, *, size: int = 0, link: bytes = b"") -> bytes:
    return tarstream.header(Entry(name, kind, stat.S_IMODE(about.st_mode), 0, 0, size, 0, link))
