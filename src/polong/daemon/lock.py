"""One engine a root: a lock that dies with its holder, and says who that is."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from polong.kit.errors import FailedPrecondition


class Lock:
    """Held from `acquire` to `release` or the end of the process. The file stays: deleting it would let two hold "the" lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def acquire(self) -> None:
        """FailedPrecondition with the other engine's pid."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise FailedPrecondition(f"another engine already runs on {self._path.parent} (pid {holder})") from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
