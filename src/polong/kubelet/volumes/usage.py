"""What a tree that containers write takes on the disk: as du counts it, by descriptors, never through a link nor onto other disks."""

from __future__ import annotations

import os
from pathlib import Path

_DEPTH = 512
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 512


def used(directory: Path, enough: int | None = None) -> int:
    """Bytes of blocks; a file with several names counts once. Counting ends above `enough`. 0 where there is no directory. What lies deeper
    than 512 levels is not counted."""
    try:
        top = os.open(directory, _DIRECTORY)
    except OSError:
        return 0
    return _Count(os.fstat(top).st_dev, enough).walk(top)


class _Count:
    def __init__(self, device: int, enough: int | None) -> None:
        self._device = device
        self._enough = enough
        self._linked: set[int] = set()
        self._total = 0

    def walk(self, top: int) -> int:
        stack = [(top, self._level(top))]
        try:
            while stack and not self._full:
                parent, names = stack[-1]
                if not names:
                    os.close(stack.pop()[0])
                    continue
                child = self._enter(parent, names.pop())
                if child is not None and len(stack) < _DEPTH:
                    stack.append((child, self._level(child)))
                elif child is not None:
                    os.close(child)
        finally:
            for fd, _ in stack:
                os.close(fd)
        return self._total

    @property
    def _full(self) -> bool:
        return self._enough is not None and self._total > self._enough

    def _enter(self, parent: int, name: str) -> int | None:
        try:
            child = os.open(name, _DIRECTORY, dir_fd=parent)
        except OSError:
            return None
        if os.fstat(child).st_dev != self._device:
            os.close(child)
            return None
        return child

    def _level(self, fd: int) -> list[str]:
        """Count the entries; the names of the directories among them."""
        directories = []
        self._total += os.fstat(fd).st_blocks * _BLOCK
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        directories.append(entry.name)
                        continue
                    found = entry.stat(follow_symlinks=False)
                    if found.st_nlink > 1 and found.st_ino in self._linked:
                        continue
                    if found.st_nlink > 1:
                        self._linked.add(found.st_ino)
                    self._total += found.st_blocks * _BLOCK
        except OSError:
            return directories
        return directories
