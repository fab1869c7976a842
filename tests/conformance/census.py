"""What of this machine a node may use up: counted before and after."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from polong.linux import mountinfo


def census(root: Path, pid: int) -> Mapping[str, int]:
    """Things of the node of `root` and its daemon `pid`: other nodes of this machine do not count."""
    name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]
    marks = (str(root), f"/run/polong/{name}")
    return {
        "processes": sum(any(mark in words for mark in marks) for words in _commands()),
        "mounts": sum(any(mark in mount.target for mark in marks) for mount in mountinfo.read()),
        "interfaces": _entries(Path(f"/sys/class/net/pl{name}/brif")),
        "cgroups": sum(len(inner) for top in Path("/sys/fs/cgroup").iterdir() for _, inner, _ in os.walk(top / "polong" / name)),
        "descriptors": _entries(Path(f"/proc/{pid}/fd")),
        "files": sum(len(files) for part in ("kubelet", "cri", "network", "logs/pods") for _, _, files in os.walk(root / part)),
        "roots": _entries(root / "images" / "rootfs"),
        "trash": _entries(root / "images" / "trash"),
        "run": sum(len(files) for _, _, files in os.walk(f"/run/polong/{name}")),
    }


def _entries(directory: Path) -> int:
    return sum(1 for _ in directory.iterdir()) if directory.is_dir() else 0


def _commands() -> list[str]:
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                found.append((each / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
    return found
