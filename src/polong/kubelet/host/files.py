"""Files of a container, seen through its main process's root: opened here, walked by `fileworker`, a process with a deadline."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polong.kit import errors
from polong.kit.errors import DeadlineExceeded, FailedPrecondition, Internal, PolongError
from polong.kubelet.host.processes import Group, below
from polong.linux import proc, process
from polong.linux.fds import Fd
from polong.linux.idmaps import IDENTITY, IdMap
from polong.linux.streams import FdWriter
from polong.objects.podfiles import STREAMED, FileOptions

Json = dict[str, Any]

MOST_BYTES = 4 << 30
"""Of one answer, and of one file that is written."""

_ANSWERING = 10.0
_STALLED = 60.0
_LEAVING = 2.0
_HEADER_BYTES = 16 << 20
_PIECE = 256 * 1024
_COMMAND = (sys.executable, "-I", "-m", "polong.kubelet.host.fileworker")


@dataclass(frozen=True)
class Place:
    """A container's root directory and main process, held: neither can become another's. Close after use (`with`)."""

    root: Fd
    main: Fd
    uid: int
    gid: int
    uids: IdMap = IDENTITY
    gids: IdMap = IDENTITY

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self.root.close()
        self.main.close()


def hold(group: Group, root: Path = proc.PROC) -> Place:
    """FailedPrecondition where the container's main process has ended, or its number is another process's by now."""
    gone = FailedPrecondition(f"container {group.container} is not running any more: there is nothing to look into", reason="Conflict")
    try:
        main = Fd(os.pidfd_open(group.pid))
    except OSError:
        raise gone from None
    opened: Fd | None = None
    try:
        with proc.Handle(group.pid, root) as handle:
            opened = handle.root_directory()
            # Asked after opening: the directory that was opened is that of a process in the container's own cgroup.
            inside = not group.cgroup or any(below(path, group.cgroup) for path in handle.cgroups().values())
            status = handle.status()
            if not inside or handle.stat().state in "ZX":
                raise gone
            maps = [IdMap.read(group.pid, name, root) for name in ("uid_map", "gid_map")]
            return Place(opened, main, status.uids[3], status.gids[3], *maps)
    except (OSError, PolongError) as error:
        main.close()
        if opened is not None:
            opened.close()
        raise gone if isinstance(error, OSError) else error from None


@dataclass
class Worker:
    """One running fileworker."""

    child: process.Process
    _rest: bytearray = field(default_factory=bytearray)

    async def header(self, timeout: float = _ANSWERING) -> Json:
        """Its verdict; PolongError where that is a refusal, DeadlineExceeded where there is none in time."""
        stdout = self.child.stdout
        assert stdout is not None
        try:
            async with asyncio.timeout(timeout):
                while b"\n" not in self._rest and len(self._rest) < _HEADER_BYTES and (data := await stdout.read()):
                    self._rest += data
        except TimeoutError:
            raise DeadlineExceeded(f"the container's file system did not answer within {timeout:g} s") from None
        line, end, rest = bytes(self._rest).partition(b"\n")
        if not end:
            raise Internal("the process that looks at files of containers ended without an answer")
        self._rest = bytearray(rest)
        answer: Json = json.loads(line)
        if "error" in answer:
            kind: type[PolongError] = getattr(errors, answer["error"], Internal)
            raise kind(answer["message"])
        return answer

    def body(self, *, follow: bool) -> Body:
        """The bytes after the verdict."""
        return Body(self, bytes(self._rest), None if follow else _STALLED)

    async def feed(self, data: AsyncIterator[bytes]) -> None:
        """Pieces as `fileworker` wants them, and the empty one that says that all came."""
        stdin = self.child.stdin
        assert stdin is not None
        with suppress(BrokenPipeError):  # It has refused, and says why.
            async for chunk in data:
                for start in range(0, len(chunk), _PIECE):
                    piece = chunk[start : start + _PIECE]
                    await self._give(stdin, len(piece).to_bytes(4, "big") + piece)
            await self._give(stdin, bytes(4))
        await stdin.close()

    async def _give(self, stdin: FdWriter, piece: bytes) -> None:
        try:
            async with asyncio.timeout(_STALLED):
                await stdin.write(piece)
        except TimeoutError:
            raise DeadlineExceeded(f"the container's file system took nothing for {_STALLED:g} s") from None

    async def give_up(self) -> None:
        """Let it take back what it began, then end it."""
        if self.child.stdin is not None:
            await self.child.stdin.close()
        with suppress(TimeoutError):
            await process.wait_for(self.child, _LEAVING)
        await self.child.aclose()


class Body:
    """The bytes of a read, as an iterator. `aclose` ends the worker, also where nobody has begun to read."""

    def __init__(self, worker: Worker, first: bytes, timeout: float | None) -> None:
        self._worker = worker
        self._first = first
        self._timeout = timeout

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        first, self._first = self._first, b""
        if first:
            return first
        stdout = self._worker.child.stdout
        assert stdout is not None
        try:
            async with asyncio.timeout(self._timeout):
                data = await stdout.read()
        except TimeoutError:
            raise DeadlineExceeded(f"the container's file system gave nothing for {self._timeout:g} s") from None
        if not data:
            await self.aclose()
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        await self._worker.child.aclose()


def _start(place: Place, task: Json, *, feeds: bool = False) -> Worker:
    numbers = place.root.fileno(), place.main.fileno()
    maps = {"uids": place.uids.ranges, "gids": place.gids.ranges}
    words = [*_COMMAND, json.dumps({**task, **maps, "root": numbers[0], "main": numbers[1], "most": MOST_BYTES})]
    stdin = process.PIPE if feeds else None
    return Worker(process.spawn(words, stdin=stdin, stdout=process.PIPE, pass_fds=numbers))


Hold = Callable[[Group], Place]


async def look(group: Group, options: FileOptions, holding: Hold = hold) -> tuple[Json, AsyncIterator[bytes] | None]:
    """What is at a path (stat, list), or that and its bytes (read; to be closed). PolongError: NotFound, Invalid, TooLarge, ..."""
    with holding(group) as place:
        worker = _start(place, options.task())
    try:
        found = await worker.header()
    except BaseException:
        await worker.child.aclose()
        raise
    if options.op not in STREAMED:
        await worker.child.aclose()
        return found, None
    return found, worker.body(follow=options.follow)


async def write(group: Group, path: str, mode: int, data: AsyncIterator[bytes], holding: Hold = hold, *, expected: str = "") -> Json:
    """Put a file in place, whole or not at all. Conflict where it is not of the `expected` version any more."""
    return await _send(group, {"op": "write", "path": path, "mode": mode, "expected": expected}, data, holding)


async def write_tree(group: Group, path: str, archive: AsyncIterator[bytes], holding: Hold = hold) -> Json:
    """The entries of a tar archive beneath a directory; with `entries`, `bytes` and `leftOut`. What was written before it failed
    stays, and the error says how much."""
    return await _send(group, {"op": "extract", "path": path}, archive, holding)


async def _send(group: Group, task: Json, data: AsyncIterator[bytes], holding: Hold) -> Json:
    """New files belong to the user of the container's main process."""
    with holding(group) as place:
        worker = _start(place, {**task, "uid": place.uid, "gid": place.gid}, feeds=True)
    try:
        await worker.feed(data)
        return await worker.header(_STALLED)
    finally:
        await worker.give_up()
