"""Deleting a tree that containers have written: by directory descriptors, never through a link, never across a mount, at any depth."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from polong.kit.errors import Internal
from polong.linux import mounts

_DEPTH = 64
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(directory: Path) -> None:
    """Unmount what lies below, then delete all. Idempotent. Internal where a mount cannot be undone: nothing of it is deleted."""
    try:
        fd = os.open(directory, _DIRECTORY)
    except FileNotFoundError:
        return
    try:
        mounts.unmount_below(directory)
        if left := mounts.below(directory):
            raise Internal(f"cannot delete {directory}: {left[0].target} is still mounted")
        _empty(fd)
    finally:
        os.close(fd)
    with suppress(FileNotFoundError):
        directory.rmdir()


def remove_entry(parent: int, name: str) -> None:
    """One entry of the directory `parent`, with all that is below it. Idempotent. OSError, or Internal at a mount."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            _empty(fd)
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=parent)


def _empty(top: int) -> None:
    """Deep branches are hoisted to the top and come up again there, so that depth costs neither stack nor descriptors."""
    device = os.fstat(top).st_dev
    hoisted = 0
    while True:
        deferred = _clear(top, top, device, 0, hoisted)
        if deferred == hoisted:
            return
        hoisted = deferred


def _clear(top: int, fd: int, device: int, depth: int, hoisted: int) -> int:
    """Delete the entries of `fd`; the count of branches that were hoisted so far comes back."""
    with os.scandir(fd) as entries:
        names = [(each.name, each.is_dir(follow_symlinks=False)) for each in entries]
    for name, is_directory in names:
        if not is_directory:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=fd)
            continue
        if depth >= _DEPTH:
            hoisted += 1
            os.rename(name, f".hoisted.{hoisted}", src_dir_fd=fd, dst_dir_fd=top)
            continue
        child = os.open(name, _DIRECTORY, dir_fd=fd)
        try:
            found = os.fstat(child)
            if found.st_dev != device or not stat.S_ISDIR(found.st_mode):
                raise Internal(f"cannot delete {name!r}: it is on another file system")
            hoisted = _clear(top, child, device, depth + 1, hoisted)
        finally:
            os.close(child)
        os.rmdir(name, dir_fd=fd)
    return hoisted
