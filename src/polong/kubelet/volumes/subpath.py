"""subPath: a part of a volume as a mount of its own, found beneath the volume and pinned by a bind mount of the node's own.

Whatever a container puts into the volume, before or while this runs, the kernel resolves the path beneath the volume's descriptor
(openat2 RESOLVE_BENEATH) and the mount is made of that very descriptor: there is no moment at which a path is looked up twice
(CVE-2017-1002101, CVE-2021-25741). Source for layout and texts: kubelet pkg/volume/util/subpath, makeMounts.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from polong.kit.errors import Invalid, PolongError
from polong.linux import mounts, paths, syscalls
from polong.linux.fds import Fd
from polong.linux.flags import MS

_REASON = "CreateContainerConfigError"
_DIRECTORY = "volume-subpaths"


def check(path: str) -> None:
    """Invalid (CreateContainerConfigError), in Kubernetes' words."""
    if path.startswith("/"):
        raise Invalid(f"error SubPath `{path[:256]}` must not be an absolute path", reason=_REASON)
    if ".." in path.split("/"):
        raise Invalid(f"unable to provision SubPath `{path[:256]}`: must not contain '..'", reason=_REASON)
    if "\0" in path:
        raise Invalid("unable to provision SubPath: it contains a NUL byte", reason=_REASON)


def prepare(own: Path, volume: tuple[str, Path], path: str, container: str, index: int) -> Path:
    """Where the part `path` of the volume (its name, its host path) is mounted for that volumeMount; a missing one is made, a directory
    with the volume's mode and group. Idempotent: a mount of what is now at `path` stays."""
    check(path)
    name, root = volume
    what = f'subPath for volumeMount "{name}" of container "{container}"'
    target = own / _DIRECTORY / name / container / str(index)
    try:
        with _open(root, path) as fd:
            _mount(fd, target)
    except (OSError, PolongError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Invalid(f"failed to prepare {what}: {why}", reason=_REASON) from error
    return target


def _open(root: Path, path: str) -> Fd:
    with paths.Root.open(root) as top:
        try:
            return top.open_at(path, os.O_PATH, resolve=paths.BENEATH)
        except FileNotFoundError:
            found = os.fstat(top.fileno())
            made = top.make_directories(path, stat.S_IMODE(found.st_mode) & 0o777, resolve=paths.BENEATH)
        try:
            # The umask took bits of the mode; the group of the Pod owns what its volume owns.
            handle = f"/proc/self/fd/{made.fileno()}"
            if found.st_mode & stat.S_ISGID:
                os.chown(handle, -1, found.st_gid)
            Path(handle).chmod(stat.S_IMODE(found.st_mode))
        except BaseException:
            made.close()
            raise
        return made


def _mount(fd: Fd, target: Path) -> None:
    wanted = os.fstat(fd.fileno())
    target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    try:
        there = target.lstat()
    except FileNotFoundError:
        there = None
    if there is not None and (there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino):
        return
    if there is not None:
        mounts.unmount_below(target)
    if not _fits(target, directory=stat.S_ISDIR(wanted.st_mode)):
        _make(target, directory=stat.S_ISDIR(wanted.st_mode))
    # Without the mounts below it: unmounting copies of shared mounts would unmount the node's own.
    with Fd(syscalls.open_tree(fd.fileno())) as tree:
        syscalls.move_mount(tree.fileno(), str(target))
    # What is mounted there later on the node comes along (HostToContainer); what is unmounted here does not go back.
    syscalls.mount("", str(target), flags=MS.SLAVE)


def _fits(target: Path, *, directory: bool) -> bool:
    try:
        return stat.S_ISDIR(target.lstat().st_mode) == directory
    except FileNotFoundError:
        return False


def _make(target: Path, *, directory: bool) -> None:
    if target.is_dir():
        target.rmdir()
    else:
        target.unlink(missing_ok=True)
    if directory:
        target.mkdir(mode=0o750)
    else:
        target.touch(mode=0o640)
