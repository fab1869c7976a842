"""`files cp` out of a container: what comes from there is hostile, so that every name is one component, made beneath a descriptor, and
never through a link (CVE-2019-11246 and its kin).
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from polong.cli.errors import Failure
from polong.kit import tarstream
from polong.kit.errors import NotFound, PolongError
from polong.kit.tarstream import Entry, TarParser

Json = dict[str, Any]

_DEEPEST = 128
_MOST_ENTRIES = 100_000
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CONTENTS = "/."
"""At the end of a source: what is in the directory, not itself."""


class Missing(Exception):  # noqa: N818 - it says what is, not that it is wrong
    """There is no such path in the container."""


class Source(Protocol):
    async def get(self, op: str, path: str) -> Json: ...

    def read(self, path: str) -> AsyncIterator[bytes]: ...

    def archive(self, path: str) -> AsyncIterator[bytes]: ...


async def described(source: Source, path: str) -> Json:
    """What is at `path`. Missing where nothing is."""
    try:
        return await source.get("stat", path)
    except NotFound:
        raise Missing(path) from None


def below(goal: Path, source: str) -> Path:
    """Where a copy of `source` goes: to `goal`, or into it where that is a directory."""
    name = PurePosixPath(source.removeprefix(":")).name
    return goal / name if name and goal.is_dir() and not source.endswith(_CONTENTS) else goal


async def out(source: Source, path: str, goal: Path) -> list[str]:
    """Copy a file or a directory to `goal`, or into it where that is a directory. What was left out: devices, links that lead out of
    the copy, odd names."""
    found = await source.get("stat", path)
    goal = below(goal, path)
    with _parent(goal) as parent, _told(goal):
        if found["type"] == "directory":
            return await _tree(source.archive(path), parent, goal)
        if found["type"] == "file":
            await _file(source, path, (parent, goal.name), found)
            return []
        raise Failure(f"{path} is a {found['type']}, not a file or directory")


@contextmanager
def _told(goal: Path) -> Iterator[None]:
    """Of a write there is no more than a number: where it went wrong is said here."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or not error.strerror:
            raise
        raise Failure(f"cannot write {goal}: {error.strerror}") from None


@contextmanager
def _parent(goal: Path) -> Iterator[int]:
    fd = os.open(goal.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


async def _file(source: Source, path: str, place: tuple[int, str], found: Json) -> None:
    with _Local(*place) as file:
        async for chunk in source.read(path):
            file.write(chunk)
        file.finish(int(found["mode"], 8))


class _Local:
    """A file of ours: whole or not at all; a link that stands there is replaced, not followed."""

    def __init__(self, parent: int, name: str | bytes) -> None:
        self._parent, self._name = parent, os.fsencode(name)
        self._temporary = b".%b.%d.part" % (self._name[:200], os.getpid())
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._stream = os.fdopen(os.open(self._temporary, flags, 0o600, dir_fd=parent), "wb")
        self._done = False

    def write(self, data: bytes) -> None:
        self._stream.write(data)

    def finish(self, mode: int) -> None:
        self._stream.flush()
        os.fchmod(self._stream.fileno(), stat.S_IMODE(mode) & 0o777)
        os.rename(self._temporary, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
        self._done = True

    def __enter__(self) -> _Local:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._done:
            os.unlink(self._temporary, dir_fd=self._parent)
        with suppress(OSError):  # Of a full disk: it has been told by whoever wrote.
            self._stream.close()


async def _tree(chunks: AsyncIterator[bytes], parent: int, goal: Path) -> list[str]:
    with suppress(FileExistsError):
        os.mkdir(goal.name or ".", 0o755, dir_fd=parent)
    top = os.open(goal.name or ".", _DIRECTORY, dir_fd=parent)
    tree = _Tree(top, str(goal))
    parser = TarParser(_MOST_ENTRIES)
    try:
        async for chunk in chunks:
            for event in parser.feed(chunk):
                tree.take(event)
        parser.finish()
        tree.finish()
    except PolongError as error:
        raise Failure(f"the copy is not whole: {error.message}") from None
    finally:
        tree.close()
        os.close(top)
    for name, text in parser.remarks:
        if name == "failed":
            raise Failure(f"the copy is not whole: {text}")
    if not parser.ended:
        raise Failure("the copy is not whole: the connection broke off")
    return [*(text for _, text in parser.remarks), *tree.skipped]


@dataclass
class _Tree:
    """Entries of an archive, made beneath `top`. Links come last, and only those that end inside of the copy."""

    top: int
    shown: str
    skipped: list[str] = field(default_factory=list)
    _path: list[tuple[bytes, int]] = field(default_factory=list)
    _links: list[tuple[list[bytes], bytes]] = field(default_factory=list)
    _modes: list[tuple[list[bytes], int]] = field(default_factory=list)
    _file: _Local | None = None
    _left: int = 0
    _mode: int = 0

    def take(self, event: Entry | bytes) -> None:
        if isinstance(event, bytes):
            if self._file is not None:
                self._file.write(event)
                self._left -= len(event)
                self._end_file()
            return
        parts = [part for part in event.name.split(b"/") if part not in {b"", b"."}]
        if b".." in parts or len(parts) > _DEEPEST:
            self.skipped.append(f"{_text(event.name)} was left out: its name is none")
        elif event.kind == tarstream.DIRECTORY:
            if self._enter(parts)[1]:
                self._modes.append((parts, event.mode & 0o777))
        elif not parts:
            self.skipped.append("an entry was left out: it has no name")
        elif event.kind == tarstream.REGULAR:
            self._file = _Local(self._enter(parts[:-1])[0], parts[-1])
            self._left, self._mode = event.size, event.mode
            self._end_file()
        elif event.kind == tarstream.SYMLINK and inside(parts, event.link):
            self._links.append((parts, event.link))
        elif event.kind == tarstream.SYMLINK:
            self.skipped.append(f"{_text(event.name)} was left out: it is a link to {_text(event.link)}, which is not in the copy")
        else:
            self.skipped.append(f"{_text(event.name)} was left out: it is no file, directory or link")

    def _end_file(self) -> None:
        if self._file is not None and not self._left:
            file, self._file = self._file, None
            with file:
                file.finish(self._mode)

    def _enter(self, parts: Sequence[bytes]) -> tuple[int, bool]:
        """The directory of these names beneath the top, made where it is missing; and whether it is new."""
        common = 0
        while common < min(len(parts), len(self._path)) and self._path[common][0] == parts[common]:
            common += 1
        self.close(common)
        made = False
        for part in parts[common:]:
            parent = self._path[-1][1] if self._path else self.top
            try:
                os.mkdir(part, 0o755, dir_fd=parent)
                made = True
            except FileExistsError:
                made = False
            self._path.append((part, os.open(part, _DIRECTORY, dir_fd=parent)))
        return (self._path[-1][1] if self._path else self.top), made

    def finish(self) -> None:
        for parts, goal in self._links:
            self._link(self._enter(parts[:-1])[0], parts[-1], goal)
        for parts, mode in reversed(self._modes):
            os.fchmod(self._enter(parts)[0], mode)

    def _link(self, parent: int, name: bytes, goal: bytes) -> None:
        temporary = b".%b.%d.part" % (name[:200], os.getpid())
        os.symlink(goal, temporary, dir_fd=parent)
        try:
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        except OSError as error:
            os.unlink(temporary, dir_fd=parent)
            self.skipped.append(f"{_text(name)} was left out: {error.strerror or error}")

    def close(self, keep: int = 0) -> None:
        for _, fd in self._path[keep:]:
            os.close(fd)
        del self._path[keep:]
        if not keep and self._file is not None:
            file, self._file = self._file, None
            file.__exit__()


def inside(parts: Sequence[bytes], goal: bytes) -> bool:
    """Whether a link at `parts` ends beneath the top, also where other links of the copy are on its way. Each starts from a real
    directory, climbs no higher than the top, and then goes down only: by induction it cannot leave."""
    words = [word for word in goal.split(b"/") if word not in {b"", b"."}]
    ups = 0
    while ups < len(words) and words[ups] == b"..":
        ups += 1
    return not goal.startswith(b"/") and bool(goal) and ups < len(parts) and b".." not in words[ups:]


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
