"""Namespaces: identity by (device, inode); network namespaces made and pinned by a short-lived child.

Nothing here changes the namespaces of the daemon's working threads: `unshare` and the bind mount run in a child, `setns` in a thread,
that then ends.
"""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

from polong.kit.errors import Unavailable
from polong.linux import mountinfo, mounts, process, syscalls
from polong.linux.fds import Fd
from polong.linux.flags import CLONE

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
    try:
        return path.stat().st_dev == Path("/proc/self/ns/net").stat().st_dev
    except FileNotFoundError:
        return False


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
    for mount in mountinfo.below(path):
        if mount.target == str(path) and mount.fstype == "nsfs":
            mounts.unmount(mount)
    path.unlink(missing_ok=True)


def tcp_socket(family: int, netns: str | Path = "") -> socket.socket:
    """A non-blocking TCP socket that belongs to the network namespace at the path `netns`, "" for our own. OSError where it cannot be.

    A socket stays in the namespace where it was made, whoever uses it. So a thread of its own enters, makes it and ends, without coming
    back: no work, and no child of ours, is ever found in there by mistake.
    """
    made: list[socket.socket] = []
    failed: list[OSError] = []

    def make() -> None:
        try:
            if netns:
                with Fd(os.open(netns, os.O_RDONLY | os.O_CLOEXEC)) as fd:
                    syscalls.setns(fd.fileno(), CLONE.NEWNET)
            made.append(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=make, name="network namespace")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]
