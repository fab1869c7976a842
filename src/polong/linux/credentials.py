"""Capabilities in effect and file system ids of the calling thread: capset(2), setfsuid(2). Other threads keep theirs."""

from __future__ import annotations

import ctypes
import os
import threading

from polong.linux import libc, proc

# linux/capability.h; asm/unistd.h: capget and capset have the same numbers apart from the architecture's own table.
_VERSION = 0x20080522
_CAPSET = {"x86_64": 126, "aarch64": 91, "riscv64": 91, "ppc64le": 184, "s390x": 185}


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Set(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def set_effective(*, without: int = 0) -> None:
    """All that are permitted take effect, but for the capability of that bit mask, which stays permitted. OSError."""
    number = _CAPSET.get(os.uname().machine)
    if number is None:
        raise OSError("no number for capset(2)")
    own = proc.status(threading.get_native_id())
    effective = own.cap_permitted & ~without
    sets = (_Set * 2)()
    for index, shift in enumerate((0, 32)):
        sets[index] = _Set(*(value >> shift & 0xFFFFFFFF for value in (effective, own.cap_permitted, own.cap_inheritable)))
    header = _Header(_VERSION, 0)
    libc.syscall("capset", number, ctypes.byref(header), ctypes.byref(sets))


def make_files_as(uid: int, gid: int) -> None:
    """What this thread creates belongs to them from its first moment: where a mount maps owners (mount_setattr(2)), ids that it does
    not have can create nothing (EOVERFLOW). No capability is lost by it."""
    libc.setfsgid(gid)
    libc.setfsuid(uid)
    # The kernel takes those that concern files out of effect for whoever is not root.
    set_effective()
