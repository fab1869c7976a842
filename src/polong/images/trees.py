"""Removing and measuring trees that containers and images filled: by descriptor, no link followed, at any depth."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from polong.linux.paths import NO_LINKS, Root

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def usage(top: Path) -> tuple[int, int]:
    """(bytes on disk, inodes) of what is below `top`, hard links counted once; (0, 0) where there is nothing. What is nested so deep
    that it has no path any more is left out."""
    size = inodes = 0
    linked: set[int] = set()
    try:
        root = Root.open(top)
    except FileNotFoundError:
        return 0, 0
    with root:
        waiting = ["."]
        while waiting:
            directory = waiting.pop()
            with suppress(OSError), root.open_at(directory, _DIRECTORY, resolve=NO_LINKS) as fd, os.scandir(fd.fileno()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    if found.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                        if found.st_ino in linked:
                            continue
                        linked.add(found.st_ino)
                    inodes += 1
                    size += found.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{directory}/{entry.name}")
    return size, inodes


def remove(parent: int, name: str) -> None:
    """Remove the entry `name` of the directory `parent`, whatever it is. Idempotent.

    A directory found inside is moved up to the top before it is emptied, so that depth never adds up.
    """
    try:
        kind = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(kind):
        os.unlink(name, dir_fd=parent)
        return
    top = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        serial = 0
        queue = _clear(top)
        while queue:
            directory = queue.pop()
            inner = os.open(directory, _DIRECTORY, dir_fd=top)
            try:
                for child in _clear(inner):
                    moved, serial = _free_name(top, serial)
                    os.rename(child, moved, src_dir_fd=inner, dst_dir_fd=top)
                    queue.append(moved)
            finally:
                os.close(inner)
            os.rmdir(directory, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _clear(directory: int) -> list[str]:
    """Unlink the files and the empty directories of an open directory; the names of the directories that are left."""
    left: list[str] = []
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if not is_directory:
            os.unlink(name, dir_fd=directory)
            continue
        try:
            os.rmdir(name, dir_fd=directory)
        except OSError:
            left.append(name)
    return left


def _free_name(top: int, serial: int) -> tuple[str, int]:
    while True:
        serial += 1
        name = f".removing-{serial}"
        with suppress(FileNotFoundError):
            os.stat(name, dir_fd=top, follow_symlinks=False)
            continue
        return name, serial
