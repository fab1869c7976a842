"""The file behind /etc/hosts of a Pod's containers: mounted by itself, so that it is changed in place, never replaced."""

from __future__ import annotations

import os
from pathlib import Path

_LARGEST = 4 << 20


def read(path: Path) -> str | None:
    """None where there is none, or containers made of it what is no hosts file of ours any more."""
    try:
        with path.open("rb") as stream:
            found = stream.read(_LARGEST + 1)
        return None if len(found) > _LARGEST else found.decode()
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def write(path: Path, text: str) -> None:
    """One write and a truncation: who reads in between sees no half of a line that was there before and is there after."""
    data = text.encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        os.fchmod(descriptor, 0o644)
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)
