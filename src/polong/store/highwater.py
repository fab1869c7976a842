"""The highest revision ever given out, kept beside the database, so that revisions never go back even where the database does.

A database can lose its newest rows (power loss on a disk that lies, a restored copy, a deleted file). A client that saw revision 900
must then never be given another change under that number. One line: reserved, last, clean (0 or 1), boot id.

`reserved` is on disk before any revision up to it is used; `last` is written after each commit without a sync, which a killed process
survives. A new epoch starts past `reserved` where the database is older than `last`, or where the machine went down without a stop.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

BLOCK = 10_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mark:
    reserved: int
    last: int
    clean: bool
    boot: str


class HighWater:
    """Owns the file. All methods are synchronous and called by the store's thread."""

    def __init__(self, path: Path, boot_id: str) -> None:
        self._path = path
        self._boot = boot_id
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._reserved = 0

    def settle(self, revision: int) -> int:
        """Compare with the database's `revision`; the revision to jump to, 0 where nothing was lost."""
        mark = self._read()
        jump = 0
        if mark is None:
            jump = revision + BLOCK if revision else 0
        elif revision < mark.last:
            _log.warning("the database is older (revision %d) than what was given out (%d): watches start anew", revision, mark.last)
            jump = max(mark.reserved, revision)
        elif not mark.clean and mark.boot != self._boot:
            jump = max(mark.reserved, revision)
        self._reserved = 0
        self.reserve(max(jump, revision) + 1)
        return jump

    def reserve(self, revision: int) -> None:
        """Make `revision` usable; OSError where the disk refuses."""
        if revision <= self._reserved:
            return
        reserved = revision + BLOCK
        self._write(Mark(reserved, revision - 1, clean=False, boot=self._boot))
        os.fsync(self._fd)
        self._reserved = reserved

    def note(self, revision: int) -> None:
        """`revision` is committed."""
        self._write(Mark(self._reserved, revision, clean=False, boot=self._boot))

    def close(self, revision: int) -> None:
        """A clean stop."""
        try:
            self._write(Mark(self._reserved, revision, clean=True, boot=self._boot))
            os.fsync(self._fd)
        finally:
            os.close(self._fd)

    def abandon(self) -> None:
        os.close(self._fd)

    def _write(self, mark: Mark) -> None:
        line = f"{mark.reserved:020d} {mark.last:020d} {int(mark.clean)} {mark.boot:<36.36}\n"
        os.pwrite(self._fd, line.encode("ascii", "replace"), 0)

    def _read(self) -> Mark | None:
        text = os.pread(self._fd, 256, 0).decode("ascii", "replace")
        if not text:
            return None
        try:
            reserved, last, clean, *boot = text.split()
            return Mark(int(reserved), int(last), clean == "1", "".join(boot))
        except ValueError:
            _log.warning("%s is damaged: revisions start anew past the database's", self._path)
            return None


def boot_id() -> str:
    """The kernel's id of this boot; empty where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
