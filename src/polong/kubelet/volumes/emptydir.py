"""emptyDir: a directory of the Pod, mode 0777, on disk or (medium Memory) on a tmpfs of its own.

Source: kubelet pkg/volume/emptydir; sizeLimit caps a tmpfs, on disk it is not enforced by the kernel.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from polong.kit.errors import Unsupported
from polong.linux import mounts
from polong.objects import quantity

Json = dict[str, Any]


def set_up(source: Json, directory: Path, fs_group: int | None) -> Path:
    """Idempotent. Unsupported for huge pages; OSError from the kernel."""
    medium = source.get("medium") or ""
    if medium not in ("", "Memory"):
        raise Unsupported(f'emptyDir medium "{medium}" is not supported: use "" or "Memory"')
    directory.mkdir(mode=0o777, parents=True, exist_ok=True)
    # The table of mounts is long on a full node; where a file system begins is told by the device alone.
    if medium == "Memory" and directory.stat().st_dev == directory.parent.stat().st_dev:
        limit = quantity.value(source["sizeLimit"]) if source.get("sizeLimit") else None
        mounts.Tmpfs(str(directory), size=limit or None, mode=0o777).execute()
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if fs_group is not None:
            os.fchown(fd, -1, fs_group)
        # Explicit: mkdir's mode went through the umask.
        os.fchmod(fd, 0o777 if fs_group is None else 0o2777)
    finally:
        os.close(fd)
    return directory
