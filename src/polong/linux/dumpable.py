"""Whether a process is dumpable (prctl(2) PR_SET_DUMPABLE): no file says so, only what the kernel lets others do with it."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from polong.linux import credentials, libc, proc
from polong.linux.idmaps import IdMap

PROGRAM = Path(__file__).parent / "bin" / "dumpable"

_SYS_PTRACE = 19
# asm/unistd.h.
_GET_ROBUST_LIST = {"x86_64": 274, "aarch64": 100, "riscv64": 100}
_SECONDS = 5.0


def inside(pid: int, root: Path = proc.PROC, program: Path = PROGRAM) -> bool | None:
    """Of a process of another user namespace: asked from there, by a program of ours (csrc/dumpable.c)."""
    try:
        status = proc.status(pid, root)
        uid = IdMap.read(pid, "uid_map", root).inside(status.uids[1])
        gid = IdMap.read(pid, "gid_map", root).inside(status.gids[1])
        namespace = os.open(root / str(pid) / "ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # From a thread, so not by linux.process, which is of the event loop; a millisecond, and nothing of it outlives the call.
        done = subprocess.run(
            [str(program), str(namespace), str(uid), str(gid), str(pid)],
            pass_fds=(namespace,),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            env={},
            cwd="/",
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    finally:
        os.close(namespace)
    return {b"1": True, b"0": False}.get(done.stdout) if done.returncode == 0 else None


def is_dumpable(pid: int, root: Path = proc.PROC, inside: Callable[[int, Path], bool | None] = inside) -> bool | None:
    """None where it cannot be told: of a process that counts as root and somebody else at once, to whom that makes no difference.

    The files of one that is not dumpable belong to root of its user namespace. For such root's own processes that says nothing: there
    the kernel is asked by somebody whom it can refuse for that one reason, a thread of ours without CAP_SYS_PTRACE in effect, or of
    another user namespace, a program in there. ProcessLookupError where there is no such process.
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
    if {*status.uids[:3]} != {top[0]} or {*status.gids[:3]} != {top[1]}:
        return None
    if _namespace(root / str(pid)) != _namespace(proc.PROC / "self"):
        # Also one whose root is ours: whoever made it, as we did, has every capability in it.
        return inside(pid, root)
    return _asked_without_ptrace(pid) if root == proc.PROC else None


def _namespace(directory: Path) -> int:
    try:
        return (directory / "ns/user").stat().st_ino
    except OSError:
        return 0


def _top(pid: int, name: str, root: Path) -> int:
    """The id, as this namespace counts, that is 0 in that of the process."""
    try:
        lines = (root / str(pid) / name).read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(words[1]) for words in map(str.split, lines) if words[:1] == ["0"] and len(words) == 3), 0)


def _asked_without_ptrace(pid: int) -> bool | None:
    """get_robust_list(2) judges as ptrace does (PTRACE_MODE_READ_REALCREDS) by capabilities that are permitted, in effect or not, and
    does nothing. Credentials belong to a thread: one that ends here gives up the capability for itself alone."""
    found: list[bool | None] = [None]
    number = _GET_ROBUST_LIST.get(os.uname().machine)

    def look() -> None:
        if number is None:
            return
        head, size = ctypes.c_void_p(), ctypes.c_size_t()
        try:
            credentials.set_effective(without=1 << _SYS_PTRACE)
            libc.syscall("get_robust_list", number, ctypes.c_int(pid), ctypes.byref(head), ctypes.byref(size))
            found[0] = True
        except OSError as error:
            found[0] = False if error.errno == errno.EPERM else None

    thread = threading.Thread(target=look, name="dumpable")
    thread.start()
    thread.join()
    return found[0]
