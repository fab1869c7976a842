"""Room kept for a full disk: SQLite needs space even to delete. Freed when the disk fills, taken back when there is room again."""

from __future__ import annotations

import os
from pathlib import Path


class Ballast:
    """A file of `size` bytes beside the database. Synchronous."""

    def __init__(self, path: Path, size: int = 4 * 1024 * 1024) -> None:
        self._path = path
        self._size = size

    @property
    def held(self) -> bool:
        try:
            return self._path.stat().st_size >= self._size
        except OSError:
            return False

    def hold(self) -> bool:
        """Take the room where at least as much again stays free. False where there is none."""
        if self.held:
            return True
        space = os.statvfs(self._path.parent)
        if space.f_bavail * space.f_frsize < 2 * self._size:
            return False
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, self._size)
            finally:
                os.close(fd)
        except OSError:
            self.release()
            return False
        return True

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
