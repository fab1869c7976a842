"""System calls as Python functions of three lines. OSError on failure; no retry, no policy."""

from __future__ import annotations

import ctypes
import os

from polong.linux import libc
from polong.linux.flags import (
    AT_EMPTY_PATH,
    AT_RECURSIVE,
    CLONE,
    MNT,
    MOVE_MOUNT_F_EMPTY_PATH,
    MOVE_MOUNT_T_EMPTY_PATH,
    MS,
    OPEN_TREE_CLONE,
    RESOLVE,
)

_AT_FDCWD = -100


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    encoded = [os.fsencode(value) if value else None for value in (source, target, fstype)]
    libc.mount(*encoded, MS(flags), os.fsencode(data) if data else None)


def umount2(target: str, flags: int = 0) -> None:
    """umount2(2). A link in the last component is never followed."""
    libc.umount2(os.fsencode(target), MNT(flags) | MNT.NOFOLLOW)


def unshare(flags: int) -> None:
    """unshare(2). For helper children only: never in the daemon's own process."""
    libc.unshare(CLONE(flags))


def setns(fd: int, kind: int = 0) -> None:
    """setns(2), of the calling thread. For helper children, and for threads that end without coming back."""
    libc.setns(fd, kind)


def openat2(root: int, path: str, flags: int, *, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2) relative to the directory `root`; the descriptor is close-on-exec. EAGAIN is the caller's to retry."""
    how = libc.OpenHow(flags | os.O_CLOEXEC, mode, RESOLVE(resolve))
    size = ctypes.c_size_t(ctypes.sizeof(how))
    encoded = ctypes.c_char_p(os.fsencode(path))
    return libc.syscall("openat2", libc.NR_OPENAT2, ctypes.c_int(root), encoded, ctypes.byref(how), size, path=path)


def open_tree(fd: int, *, clone: bool = True, recursive: bool = False) -> int:
    """open_tree(2) of what `fd` names: a detached bind mount (close-on-exec), with the mounts below it where `recursive`."""
    flags = AT_EMPTY_PATH | os.O_CLOEXEC | (OPEN_TREE_CLONE if clone else 0) | (AT_RECURSIVE if recursive else 0)
    return libc.syscall("open_tree", libc.NR_OPEN_TREE, ctypes.c_int(fd), ctypes.c_char_p(b""), ctypes.c_uint(flags))


def move_mount(fd: int, target: str) -> None:
    """move_mount(2): attach the detached mount `fd` at `target`."""
    arguments = (ctypes.c_int(fd), ctypes.c_char_p(b""), ctypes.c_int(_AT_FDCWD), ctypes.c_char_p(os.fsencode(target)))
    libc.syscall("move_mount", libc.NR_MOVE_MOUNT, *arguments, ctypes.c_uint(MOVE_MOUNT_F_EMPTY_PATH), path=target)


def move_mount_to(fd: int, place: int) -> None:
    """As `move_mount`, on what the descriptor `place` names: no path is looked up."""
    empty = ctypes.c_char_p(b"")
    flags = ctypes.c_uint(MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)
    libc.syscall("move_mount", libc.NR_MOVE_MOUNT, ctypes.c_int(fd), empty, ctypes.c_int(place), empty, flags)


def mount_setattr(fd: int, flags: int, *, attr_set: int = 0, propagation: int = 0, userns_fd: int = 0) -> None:
    """mount_setattr(2) of the mount that `fd` names (`flags` with AT_EMPTY_PATH)."""
    attributes = libc.MountAttributes(attr_set, 0, propagation, userns_fd)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    empty = ctypes.c_char_p(b"")
    libc.syscall("mount_setattr", libc.NR_MOUNT_SETATTR, ctypes.c_int(fd), empty, ctypes.c_uint(flags), ctypes.byref(attributes), size)


def pidfd_open(pid: int) -> int:
    """pidfd_open(2); ProcessLookupError where there is no such process."""
    return os.pidfd_open(pid)
