"""Termination messages: one file an instance of a container, and the tail of its log where the policy says so.

Source: kubelet getTerminationMessage; limits 4096 bytes, 12 KiB a Pod, 80 lines or 2048 bytes of log.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

MESSAGE_BYTES = 4_096
POD_BYTES = 12_288


def create(directory: Path, attempt: int) -> Path:
    """An empty file that every user may write. Those of instances that nobody asks for any more are deleted."""
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    for entry in directory.iterdir():
        if entry.name.isdigit() and int(entry.name) < attempt - 1:
            entry.unlink(missing_ok=True)
    path = directory / str(attempt)
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        os.fchmod(fd, 0o666)
    finally:
        os.close(fd)
    return path


def read(directory: Path, attempt: int, limit: int = MESSAGE_BYTES) -> str:
    """The last `limit` bytes; empty where there is none, or something that is no regular file."""
    try:
        fd = os.open(directory / str(attempt), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return ""
        return os.pread(fd, limit, max(found.st_size - limit, 0)).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)
