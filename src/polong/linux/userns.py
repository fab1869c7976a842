"""User namespaces, made by short-lived children and pinned by a mount, so that they last without a process in them.

Sources: user_namespaces(7), mount_setattr(2) (MOUNT_ATTR_IDMAP), namespaces(7).
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from polong.kit.errors import Unavailable
from polong.linux import namespaces, process, syscalls
from polong.linux.fds import Fd
from polong.linux.flags import AT_EMPTY_PATH, AT_RECURSIVE, MOUNT_ATTR_IDMAP, MS

_UNSHARE, _NSENTER, _CAT = "/usr/bin/unshare", "/usr/bin/nsenter", "/bin/cat"
_SECONDS = 10.0
_POLL = 0.001


@dataclass(frozen=True)
class IdMapping:
    """Ids 0..length-1 inside are host..host+length-1 outside, for users and for groups."""

    host: int
    length: int

    def __str__(self) -> str:
        return f"0 {self.host} {self.length}"


async def pin(path: Path, mapping: IdMapping) -> None:
    """A new user namespace, kept alive by a mount on the new file `path`. Unavailable where it cannot be; then nothing is left."""
    child = process.spawn([_UNSHARE, "--user", _CAT], stdin=process.PIPE, stdout=None, stderr=None)
    try:
        await _entered(child, "user")
        for file in ("gid_map", "uid_map"):
            Path(f"/proc/{child.pid}/{file}").write_text(str(mapping), encoding="ascii")
        _keep(child.pid, "user", path)
    except OSError as error:
        raise Unavailable(f"cannot make a user namespace for ids from {mapping.host} on: {error.strerror}") from error
    finally:
        await child.aclose()


async def pin_network(path: Path, owner: Path) -> None:
    """A new network namespace that belongs to the user namespace pinned at `owner`, its loopback up, pinned at `path`. Idempotent.
    Unavailable where it cannot be."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if namespaces.is_pinned(path):
        return
    child = process.spawn([_NSENTER, f"--user={owner}", _UNSHARE, "--net", _CAT], stdin=process.PIPE, stdout=None, stderr=None)
    try:
        await _entered(child, "net")
        _keep(child.pid, "net", path)
    except OSError as error:
        raise Unavailable(f"cannot make a network namespace: {error.strerror}", reason="NetworkNotReady") from error
    finally:
        await child.aclose()
    result = await process.run([_NSENTER, f"--net={path}", "ip", "link", "set", "lo", "up"], timeout=_SECONDS)
    if result.code != 0:
        namespaces.unpin(path)
        raise Unavailable(f"cannot make a network namespace: {result.line()}", reason="NetworkNotReady")


async def _entered(child: process.Process, kind: str) -> None:
    """Wait until the child has left our namespace of that kind."""
    own = namespaces.of_process(os.getpid(), kind)
    async with asyncio.timeout(_SECONDS):
        while child.code is None:
            try:
                if namespaces.of_process(child.pid, kind) != own:
                    return
            except ProcessLookupError:
                break
            await asyncio.sleep(_POLL)
    raise Unavailable(f"cannot make a {kind} namespace: the kernel refuses (see /proc/sys/user/max_{kind}_namespaces)")


def _keep(pid: int, kind: str, path: Path) -> None:
    path.touch(mode=0o444)
    try:
        syscalls.mount(f"/proc/{pid}/ns/{kind}", str(path), flags=MS.BIND)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def mapped_tree(source: int, user_namespace: int, *, recursive: bool) -> int:
    """A detached bind mount of what `source` (a descriptor) names, its owners seen through the mapping of the user namespace; the new
    descriptor, to be attached by `syscalls.move_mount` and closed. OSError (EINVAL) where the file system does not support it."""
    fd = syscalls.open_tree(source, recursive=recursive)
    try:
        flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
        syscalls.mount_setattr(fd, flags, attr_set=MOUNT_ATTR_IDMAP, userns_fd=user_namespace)
    except OSError:
        os.close(fd)
        raise
    return fd


def bind_mapped(source: Path, target: Path, user_namespace: Path, *, recursive: bool = True) -> None:
    """Bind `source` on `target`, which exists and is of the same kind, its owners mapped. OSError where the kernel refuses."""
    with (
        Fd(os.open(source, os.O_PATH | os.O_CLOEXEC)) as tree,
        Fd(os.open(user_namespace, os.O_RDONLY | os.O_CLOEXEC)) as mapping,
        Fd(mapped_tree(tree.fileno(), mapping.fileno(), recursive=recursive)) as mapped,
    ):
        syscalls.move_mount(mapped.fileno(), str(target))
