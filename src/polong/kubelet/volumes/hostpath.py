"""hostPath: a path of the node, its type checked on the opened descriptor. Owner, mode and content are never changed.

Source: kubelet pkg/volume/hostpath; the texts are Kubernetes'.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from polong.kit.errors import FailedPrecondition, Unsupported

Json = dict[str, Any]

_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def set_up(source: Json) -> Path:
    """The real path behind it. FailedPrecondition with "hostPath type check failed: …"."""
    path = Path(source["path"])
    kind = source.get("type") or ""
    if kind and kind not in _CHECKS:
        raise Unsupported(f'hostPath type "{kind}" is not known')
    if not path.is_absolute() or ".." in path.parts:
        raise FailedPrecondition(f'hostPath "{path}" must be absolute and must not contain ".."')
    _create_missing(path, kind)
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        wanted = _CHECKS[kind][1] if kind else "there"
        raise FailedPrecondition(f"hostPath type check failed: {path} is not {wanted}") from error
    try:
        if kind:
            check, wanted = _CHECKS[kind]
            if not check(os.fstat(fd).st_mode):
                raise FailedPrecondition(f"hostPath type check failed: {path} is not {wanted}")
        # What was checked is what is mounted, also when a link on the way is changed now.
        return Path(f"/proc/self/fd/{fd}").readlink()
    finally:
        os.close(fd)


def _create_missing(path: Path, kind: str) -> None:
    if kind == "FileOrCreate":
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
        except FileExistsError:
            pass
        except OSError as error:
            raise FailedPrecondition(f"cannot create hostPath file {path}: {error.strerror}") from error
    # Without a type nothing is checked, and runtimes make a missing directory.
    elif kind in ("", "DirectoryOrCreate") and not os.path.lexists(path):
        try:
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError as error:
            raise FailedPrecondition(f"cannot create hostPath directory {path}: {error.strerror}") from error
