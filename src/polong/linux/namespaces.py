"""Namespaces: identity by (device, inode); network namespaces made and pinned by a short-lived child.

Nothing here changes the daemon's own namespaces: `unshare` and the bind mount run in a child that then ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from polong.kit.errors import Unavailable
from polong.linux import mountinfo, mounts, process

_UNSHARE = "/usr/bin/unshare"
KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


@dataclass(frozen=True)
class Identity:
    """A namespace is the same as another one where both numbers are."""

    device: int
    inode: int


def identity(path: str | Path) -> Identity:
    """Of `/proc/<pid>/ns/<kind>` or a pin. FileNotFoundError where there is none."""
    found = Path(path).stat()
    return Identity(found.st_dev, found.st_ino)


def of_process(pid: int, kind: str, proc: Path = Path("/proc")) -> Identity:
    """ProcessLookupError where there is no such process, or it is a zombie (which has left its namespaces)."""
    try:
        return identity(proc / str(pid) / "ns" / kind)
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None


def path_of(pid: int, kind: str) -> Path:
    return Path("/proc") / str(pid) / "ns" / kind


def is_pinned(path: Path) -> bool:
    """True where a namespace is mounted on `path`: the namespace file system shows as nsfs."""
    return any(mount.target == str(path) and mount.fstype == "nsfs" for mount in mountinfo.read())


async def pin_network(path: Path) -> None:
    """Make a network namespace, its loopback up, and keep it alive by a mount on the new file `path`. Idempotent. Unavailable where it
    cannot be."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_pinned(path):
        return
    path.touch(mode=0o444)
    # unshare(1) makes the namespace in its child and binds it to the file: the daemon's threads never leave their own.
    # What it then runs in there saves the CNI plugin for the loopback: one program less on the path of every Pod.
    result = await process.run([_UNSHARE, f"--net={path}", "ip", "link", "set", "lo", "up"], timeout=10)
    if result.code != 0:
        unpin(path)
        raise Unavailable(f"cannot make a network namespace: {result.line()}", reason="NetworkNotReady")


def unpin(path: Path) -> None:
    """Undo `pin_network`. Idempotent; the namespace lives on while a process is in it."""
    for mount in mountinfo.read():
        if mount.target == str(path) and mount.fstype == "nsfs":
            mounts.unmount(mount)
    path.unlink(missing_ok=True)
