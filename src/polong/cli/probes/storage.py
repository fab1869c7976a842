"""Room for images and state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from polong.cli.probes.host import Finding, Host

_LOW, _NONE = 2 << 30, 200 << 20
_INODES = 10_000
# File systems that cannot be the upper layer of an overlay. Source: kernel Documentation/filesystems/overlayfs.rst.
_NOT_UPPER = ("nfs", "nfs4", "vfat", "ntfs", "ramfs", "overlay")


def room(host: Host) -> Iterator[Finding]:
    place = _existing(host.path(str(host.state)))
    size, inodes = host.free(place)
    found = f"{size / (1 << 30):.1f} GiB free for {host.state}"
    if size < _NONE or inodes < _INODES // 10:
        yield Finding("disk", "fail", found, "there is no room for images", "free some space, or choose another place with --root")
    elif size < _LOW or inodes < _INODES:
        yield Finding("disk", "warn", found, "larger images may not fit", "polong images prune, or another place with --root")
    else:
        yield Finding("disk", "ok", found)


def filesystem(host: Host) -> Iterator[Finding]:
    kind = mounted_type(host.read("/proc/self/mounts") or "", str(host.state))
    if kind in _NOT_UPPER:
        means = f"overlayfs cannot write on {kind}"
        yield Finding(
            "state directory", "fail", f"{host.state} is on {kind}", means, "choose a place on ext4, xfs, btrfs or tmpfs with --root"
        )


def mounted_type(mounts: str, path: str) -> str:
    """Type of the file system that holds `path`, by the longest mount point in proc(5)'s mounts."""
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


PROBES: tuple[Callable[[Host], Iterator[Finding]], ...] = (room, filesystem)
