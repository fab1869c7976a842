"""Container logs in CRI's format: `<RFC3339Nano> <stdout|stderr> <P|F> <text>`, one line a record. Only what our own writer made is a
record; everything is bounded.

Files are opened below the log root without following links, and must be regular, with one link: a container that could plant one
must not make us read the host's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from polong.kit.clock import Clock
from polong.kit.errors import NotFound
from polong.objects.podlogs import PodLogOptions

_CHUNK = 64 * 1024
_LONGEST = 1 << 20
_POLL = 0.1
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Record:
    """`text` without its newline; `partial`: the line goes on in the next record of its stream."""

    time: bytes
    stream: bytes
    partial: bool
    text: bytes


def parse(line: bytes) -> Record | None:
    """None for what is no record."""
    fields = line.split(b" ", 3)
    if len(fields) < 3 or fields[1] not in (b"stdout", b"stderr"):
        return None
    tags = fields[2].split(b":")
    if tags[0] not in (b"P", b"F"):
        return None
    return Record(fields[0], fields[1], tags[0] == b"P", fields[3] if len(fields) == 4 else b"")


def moment(text: bytes) -> datetime | None:
    """RFC3339Nano, to the microsecond."""
    try:
        head, dot, tail = text.decode("ascii").partition(".")
        if not dot:
            return datetime.fromisoformat(head)
        digits = tail.rstrip("Zz")
        for sign in "+-":
            digits = digits.partition(sign)[0]
        return datetime.fromisoformat(f"{head}.{digits[:6]:0<6}{tail[len(digits) :]}")
    except ValueError:
        return None


def open_log(root: Path, relative: str) -> int:
    """A descriptor. NotFound where there is none, or where it is something that is no log of ours."""
    parts = [part for part in relative.split("/") if part]
    if not parts or ".." in parts:
        raise NotFound(f"log {relative!r} does not exist")
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = inner
        file = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    except OSError as error:
        raise NotFound(f"log {relative} cannot be opened: {error.strerror}") from error
    finally:
        os.close(fd)
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(file)
        raise NotFound(f"log {relative} is not a regular file of its own")
    return file


class Lines:
    """Whole lines out of an open log, from a position on."""

    def __init__(self, fd: int, position: int = 0) -> None:
        self._fd = fd
        self._position = position
        self._rest = b""

    def __iter__(self) -> Iterator[bytes]:
        """Up to the present end; can be gone on with later."""
        while data := os.pread(self._fd, _CHUNK, self._position):
            self._position += len(data)
            lines = (self._rest + data).split(b"\n")
            self._rest = lines.pop()
            if len(self._rest) > _LONGEST:
                # No writer of ours makes such a line.
                self._rest = self._rest[:_LONGEST]
            yield from lines

    def truncated(self) -> bool:
        return os.fstat(self._fd).st_size < self._position


def _backwards(fd: int) -> Iterator[tuple[int, bytes]]:
    """Lines from the last to the first: where each ends, and how it begins."""
    end = start = os.fstat(fd).st_size
    block = b""
    while end > 0:
        while (index := block.rfind(b"\n", 0, max(end - 1 - start, 0))) < 0 and start > 0:
            step = min(_CHUNK, start)
            start -= step
            block = os.pread(fd, step, start) + block[: end - start - step]
        line = start + index + 1
        yield end, block[line - start : line - start + 256]
        end = line


def tail_position(fd: int, lines: int) -> int:
    """Where the last `lines` whole lines of text begin: partial records belong to the line that they end in."""
    count = 0
    for end, head in _backwards(fd):
        record = parse(head)
        if record is None or record.partial:
            continue
        if count >= lines:
            return end
        count += 1
    return 0


class Formatter:
    """Records to what a user reads: partial ones joined, times in front where asked for, `since` and `limit_bytes` kept."""

    def __init__(self, options: PodLogOptions) -> None:
        self._options = options
        self._left = options.limit_bytes
        self._begun: set[bytes] = set()

    @property
    def full(self) -> bool:
        return self._left is not None and self._left <= 0

    def text(self, line: bytes) -> bytes:
        record = parse(line)
        if record is None or self.full:
            return b""
        if self._options.since is not None:
            written = moment(record.time)
            if written is not None and written < self._options.since:
                return b""
        data = record.text if record.partial else record.text + b"\n"
        if self._options.timestamps and record.stream not in self._begun:
            data = _shown(record.time) + b" " + data
        if record.partial:
            self._begun.add(record.stream)
        else:
            self._begun.discard(record.stream)
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        return data


def _shown(time: bytes) -> bytes:
    """UTC as Kubernetes writes it; conmon writes an offset."""
    return time[:-6] + b"Z" if time.endswith(b"+00:00") else time


async def read(
    root: Path, relative: str, options: PodLogOptions, running: Callable[[], Awaitable[bool]], clock: Clock
) -> AsyncIterator[bytes]:
    """The log in pieces; with `follow` until the container has ended and everything was read. Rotation (a new file under the name)
    is followed as well."""
    fd = open_log(root, relative)
    try:
        position = 0 if options.tail_lines is None else tail_position(fd, options.tail_lines)
        lines, formatter = Lines(fd, position), Formatter(options)
        while True:
            # Asked before reading: what was written before the end is still read.
            alive = options.follow and await running()
            for piece in _pieces(lines, formatter):
                yield piece
                if formatter.full:
                    return
            fresh = _rotated(root, relative, fd) if options.follow else None
            if fresh is not None:
                for piece in _pieces(lines, formatter):
                    yield piece
                os.close(fd)
                fd = fresh
                lines = Lines(fd)
                continue
            if not alive:
                return
            if lines.truncated():
                lines = Lines(fd)
            await clock.sleep(_POLL)
    finally:
        os.close(fd)


def _pieces(lines: Lines, formatter: Formatter) -> Iterator[bytes]:
    """Up to some 64 KiB at a time."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(formatter.text(line))
        size += len(held[-1])
        if size >= _CHUNK:
            yield b"".join(held)
            held, size = [], 0
        if formatter.full:
            break
    if size:
        yield b"".join(held)


def _rotated(root: Path, relative: str, fd: int) -> int | None:
    """A descriptor of the file that now bears the name, where that is another one."""
    try:
        fresh = open_log(root, relative)
    except NotFound:
        return None
    if os.fstat(fresh).st_ino == os.fstat(fd).st_ino:
        os.close(fresh)
        return None
    return fresh


def tail_text(root: Path, relative: str, lines: int, limit: int) -> str:
    """The end of a log as text: what FallbackToLogsOnError makes a termination message of."""
    try:
        fd = open_log(root, relative)
    except NotFound:
        return ""
    try:
        formatter = Formatter(PodLogOptions())
        text = b"".join(formatter.text(line) for line in Lines(fd, tail_position(fd, lines)))
        return text[-limit:].decode("utf-8", "replace")
    finally:
        os.close(fd)
