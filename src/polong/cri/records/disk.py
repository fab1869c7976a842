"""Records on disk: one file each, replaced by rename, checked by a sum, never fatal when bad.

`save` is visible at once and survives a SIGKILL of the daemon; it does not wait for the disk. `flush` does, later and off the
hot path: what a power cut takes with it would be dead after the reboot anyway (docs/decisions/0005-cri-records.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

_log = logging.getLogger(__name__)

_MAGIC = b"polong-record"
_VERSION = 1
_SUFFIX = ".json"
_TEMPORARY = ".tmp"
_QUARANTINE = ".bad"
_MOST_BYTES = 4 * 1024 * 1024

T = TypeVar("T", bound=msgspec.Struct)


class Unreadable(ValueError):  # noqa: N818 - a verdict about one file, not a failure of ours
    """A record that cannot be trusted; the text says why."""


class RecordDir(Generic[T]):
    """The records of one kind, in one directory of mode 0700. `id` becomes a file name: callers pass ids of ours only."""

    def __init__(self, directory: Path, kind: type[T]) -> None:
        self._directory = directory
        self._kind = kind
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(kind)
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def save(self, record_id: str, record: T) -> None:
        """Replace the record atomically. OSError where the disk refuses; the older record then still stands."""
        final = self._path(record_id)
        temporary = final.with_suffix(_TEMPORARY)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _write_all(fd, frame(self._encoder.encode(record)))
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        finally:
            os.close(fd)
        temporary.rename(final)
        self._dirty.add(record_id)
        self._wake.set()

    def delete(self, record_id: str) -> None:
        """Idempotent."""
        self._dirty.discard(record_id)
        self._path(record_id).unlink(missing_ok=True)

    def load(self) -> tuple[dict[str, T], list[str]]:
        """All good records by id, and the ids of those that were put aside as `<id>.bad`."""
        good: dict[str, T] = {}
        bad: list[str] = []
        for entry in sorted(self._directory.iterdir()):
            if entry.suffix == _TEMPORARY:
                entry.unlink(missing_ok=True)
            if entry.suffix != _SUFFIX:
                continue
            try:
                good[entry.stem] = self._read(entry)
            except (Unreadable, OSError) as error:
                _log.error("record %s put aside: %s", entry, error)
                with contextlib.suppress(OSError):
                    entry.rename(entry.with_suffix(_QUARANTINE))
                bad.append(entry.stem)
        return good, bad

    def ids(self) -> set[str]:
        """Of all good records on disk."""
        return {entry.stem for entry in self._directory.iterdir() if entry.suffix == _SUFFIX}

    def _read(self, path: Path) -> T:
        if path.stat().st_size > _MOST_BYTES:
            raise Unreadable(f"longer than {_MOST_BYTES} bytes")
        body = unframe(path.read_bytes())
        try:
            record = self._decoder.decode(body)
        except msgspec.MsgspecError as error:
            raise Unreadable(str(error)) from error
        if getattr(record, "id", path.stem) != path.stem:
            raise Unreadable("it carries another id than its file")
        return record

    async def flush(self) -> None:
        """Make what was saved so far survive a power cut too."""
        ids, self._dirty = self._dirty, set()
        if ids:
            await asyncio.to_thread(self._sync, ids)

    async def keep_flushing(self, pause: float) -> None:
        """Flush in batches, `pause` seconds after a change, until cancelled."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(pause)
            self._wake.clear()
            try:
                await self.flush()
            except OSError as error:
                _log.warning("records in %s are not on disk yet: %s", self._directory, error)

    def _sync(self, ids: set[str]) -> None:
        for record_id in ids:
            with contextlib.suppress(FileNotFoundError), _opened(self._path(record_id), os.O_RDONLY) as fd:
                os.fsync(fd)
        with _opened(self._directory, os.O_RDONLY | os.O_DIRECTORY) as fd:
            os.fsync(fd)

    def _path(self, record_id: str) -> Path:
        return self._directory / f"{record_id}{_SUFFIX}"


def frame(body: bytes) -> bytes:
    """Header line (magic, version, sum) and body."""
    return b"%s %d %s\n%s\n" % (_MAGIC, _VERSION, _sum(body), body)


def unframe(data: bytes) -> bytes:
    """The body; Unreadable where header, version or sum is wrong."""
    header, newline, rest = data.partition(b"\n")
    words = header.split(b" ")
    if not newline or len(words) != 3 or words[0] != _MAGIC:
        raise Unreadable("it does not begin as a record does")
    if words[1] != b"%d" % _VERSION:
        raise Unreadable(f"version {words[1].decode('ascii', 'replace')} is not version {_VERSION}")
    body = rest.removesuffix(b"\n")
    if words[2] != _sum(body):
        raise Unreadable("its sum does not match: torn or changed")
    return body


def _sum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:16].encode()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
