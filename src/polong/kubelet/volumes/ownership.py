"""fsGroup: every file of a volume belongs to the Pod's group, which may use it as its owner may.

Source: pkg/volume/volume_linux.go: directories get the group, setgid and its search permission, files the group and its read and write.
By descriptors, never through a link, never onto another file system.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

_DEPTH = 512
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_BITS, _DIRECTORY_BITS = 0o660, 0o660 | 0o110 | stat.S_ISGID


def set_group(directory: Path, group: int, policy: str = "Always") -> bool:
    """All of it; with the policy OnRootMismatch only where the top is not as it should be. False where nothing was done."""
    fd = os.open(directory, _DIRECTORY)
    try:
        found = os.fstat(fd)
        if policy == "OnRootMismatch" and found.st_gid == group and found.st_mode & _DIRECTORY_BITS == _DIRECTORY_BITS:
            return False
        _below(fd, found.st_dev, group)
        # The top comes last: whoever is interrupted begins again (OnRootMismatch looks at the top alone).
        _directory(fd, found, group)
    finally:
        os.close(fd)
    return True


def _directory(fd: int, found: os.stat_result, group: int) -> None:
    if found.st_gid != group:
        os.fchown(fd, -1, group)
    if found.st_mode & _DIRECTORY_BITS != _DIRECTORY_BITS:
        os.fchmod(fd, stat.S_IMODE(found.st_mode) | _DIRECTORY_BITS)


def _below(fd: int, device: int, group: int) -> None:
    """Depth first, one descriptor a level; what lies deeper than _DEPTH stays as it is."""
    stack = [(os.dup(fd), _level(fd, group))]
    try:
        while stack:
            parent, names = stack[-1]
            if not names:
                os.close(stack.pop()[0])
                continue
            child = _enter(parent, names.pop(), device, group)
            if child is not None and len(stack) < _DEPTH:
                stack.append((child, _level(child, group)))
            elif child is not None:
                os.close(child)
    finally:
        for each, _ in stack:
            os.close(each)


def _enter(parent: int, name: str, device: int, group: int) -> int | None:
    """The directory, opened and owned; None where it is gone, no directory any more, or on another file system."""
    try:
        child = os.open(name, _DIRECTORY, dir_fd=parent)
    except OSError:
        return None
    found = os.fstat(child)
    if found.st_dev != device:
        os.close(child)
        return None
    _directory(child, found, group)
    return child


def _level(parent: int, group: int) -> list[str]:
    """Own the files; the names of the directories."""
    with os.scandir(parent) as entries:
        names = [(each.name, each.is_dir(follow_symlinks=False)) for each in entries]
    for name, is_directory in names:
        if not is_directory:
            with suppress(FileNotFoundError):
                _file(parent, name, group)
    return [name for name, is_directory in names if is_directory]


def _file(parent: int, name: str, group: int) -> None:
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if found.st_gid != group:
        os.chown(name, -1, group, dir_fd=parent, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode) or found.st_mode & _FILE_BITS == _FILE_BITS:
        return
    # By an O_PATH descriptor: what was looked at is what is changed, also where the name is something else by now.
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        same = os.fstat(fd)
        if (same.st_dev, same.st_ino) == (found.st_dev, found.st_ino):
            Path(f"/proc/self/fd/{fd}").chmod(stat.S_IMODE(found.st_mode) | _FILE_BITS)
    finally:
        os.close(fd)
