"""Whether a process is dumpable (prctl(2) PR_SET_DUMPABLE): no file says so, only what the kernel lets others do with it."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

from polong.linux import libc, proc

# linux/capability.h; asm/unistd.h: capget and capset have the same numbers apart from the architecture's own table.
_VERSION = 0x20080522
_SYS_PTRACE = 19
_CAPSET = {"x86_64": 126, "aarch64": 91, "riscv64": 91, "ppc64le": 184, "s390x": 185}


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Set(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def is_dumpable(pid: int, root: Path = proc.PROC) -> bool | None:
    """None where it cannot be told: the process may trace others, so that only those who may trace anything could look.

    The files of one that is not dumpable belong to root of its user namespace. For root's own processes that says nothing: there a thread
    without CAP_SYS_PTRACE looks, whom the kernel refuses for that one reason. ProcessLookupError where there is no such process.
    """
    status = proc.status(pid, root)
    top = tuple(_top(pid, name, root) for name in ("uid_map", "gid_map"))
    try:
        owner = (root / str(pid) / "environ").stat()
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None
    if (owner.st_uid, owner.st_gid) == (status.uids[1], status.gids[1]) != top:
        return True
    if (status.uids[1], status.gids[1]) != top:
        return False
    if top != (0, 0):
        # Root of another user namespace: only from inside of that could a look be refused for this one reason.
        return None
    if status.cap_permitted >> _SYS_PTRACE & 1 or {*status.uids, *status.gids} != {0}:
        return None
    return _seen_without_ptrace(root / str(pid) / "root")


def _top(pid: int, name: str, root: Path) -> int:
    """The id, as this namespace counts, that is 0 in that of the process."""
    try:
        lines = (root / str(pid) / name).read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(words[1]) for words in map(str.split, lines) if words[:1] == ["0"] and len(words) == 3), 0)


def _seen_without_ptrace(link: Path) -> bool | None:
    """Credentials belong to a thread: one that ends here gives up the capability for itself alone."""
    found: list[bool | None] = [None]

    def look() -> None:
        try:
            _drop_ptrace()
            link.readlink()
            found[0] = True
        except PermissionError:
            found[0] = False
        except OSError:
            found[0] = None

    thread = threading.Thread(target=look, name="dumpable")
    thread.start()
    thread.join()
    return found[0]


def _drop_ptrace() -> None:
    number = _CAPSET.get(os.uname().machine)
    if number is None:
        raise OSError("no number for capset(2)")
    own = proc.status(threading.get_native_id())
    effective = own.cap_effective & ~(1 << _SYS_PTRACE)
    sets = (_Set * 2)()
    for index, shift in enumerate((0, 32)):
        sets[index] = _Set(*(value >> shift & 0xFFFFFFFF for value in (effective, own.cap_permitted, own.cap_inheritable)))
    header = _Header(_VERSION, 0)
    libc.syscall("capset", number, ctypes.byref(header), ctypes.byref(sets))
