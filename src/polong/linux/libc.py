"""The one foreign-function door. Failures are OSError with errno, the call's name and the path where there is one.

Nothing here may change the calling process's namespaces: `unshare` and `setns` exist for short-lived helper children alone.
"""

# ruff: noqa: ANN401 - foreign values have no better type
from __future__ import annotations

import ctypes
import os
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)


class OpenHow(ctypes.Structure):
    """struct open_how, openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class MountAttributes(ctypes.Structure):
    """struct mount_attr, mount_setattr(2)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


# The same number on every architecture (asm-generic and x86-64 agree from 424 on).
NR_OPEN_TREE = 428
NR_MOVE_MOUNT = 429
NR_OPENAT2 = 437
NR_MOUNT_SETATTR = 442


def _check(result: int, function: Any, arguments: tuple[Any, ...]) -> int:
    if result == -1:
        number = ctypes.get_errno()
        path = next((os.fsdecode(value) for value in arguments if isinstance(value, bytes)), None)
        raise OSError(number, f"{function.__name__}: {os.strerror(number)}", path)
    return result


def _declare(name: str, *argtypes: Any) -> Any:
    function = getattr(_libc, name)
    function.argtypes = argtypes
    function.restype = ctypes.c_int
    function.errcheck = _check
    return function


mount = _declare("mount", ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
umount2 = _declare("umount2", ctypes.c_char_p, ctypes.c_int)
unshare = _declare("unshare", ctypes.c_int)
setns = _declare("setns", ctypes.c_int, ctypes.c_int)
fstatfs = _declare("fstatfs", ctypes.c_int, ctypes.c_void_p)
setfsuid = _declare("setfsuid", ctypes.c_uint)
setfsgid = _declare("setfsgid", ctypes.c_uint)
inotify_init1 = _declare("inotify_init1", ctypes.c_int)
inotify_add_watch = _declare("inotify_add_watch", ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
inotify_rm_watch = _declare("inotify_rm_watch", ctypes.c_int, ctypes.c_int)

_libc.syscall.restype = ctypes.c_long


def syscall(name: str, number: int, *arguments: Any, path: str | None = None) -> int:
    """A system call that this libc has no function for; every argument must already be a ctypes value."""
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}", path)
    return result
