"""emptyDir: a directory of the Pod, mode 0777, on disk or (medium Memory) on a tmpfs of its own.

Source: kubelet pkg/volume/emptydir; sizeLimit caps a tmpfs; on disk the kernel does not hold it, localstorage.py looks.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from polong.kit.errors import Unsupported
from polong.linux import mounts
from polong.objects import quantity

Json = dict[str, Any]


def set_up(source: Json, directory: Path, fs_group: int | None, most: int | None = None) -> Path:
    """Idempotent: what containers made of it stays. `most` bytes for one in memory, where its own sizeLimit is not less. Unsupported for
    huge pages; OSError from the kernel."""
    medium = source.get("medium") or ""
    if medium not in ("", "Memory"):
        raise Unsupported(f'emptyDir medium "{medium}" is not supported: use "" or "Memory"')
    directory.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    # Mode 0 says that it is not finished yet: a crash in between is made good by the next call.
    with suppress(FileExistsError):
        directory.mkdir(mode=0)
    # The table of mounts is long on a full node; where a file system begins is told by the device alone.
    if medium == "Memory" and directory.stat().st_dev == directory.parent.stat().st_dev:
        limits = [quantity.value(source["sizeLimit"]) if source.get("sizeLimit") else 0, most or 0]
        mounts.Tmpfs(str(directory), size=min((each for each in limits if each), default=None), mode=0).execute()
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stat.S_IMODE(os.fstat(fd).st_mode) == 0:
            if fs_group is not None:
                os.fchown(fd, -1, fs_group)
            os.fchmod(fd, 0o777 if fs_group is None else 0o2777)
    finally:
        os.close(fd)
    return directory
