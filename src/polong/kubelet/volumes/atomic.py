"""Files that change all at once: `..data` is a link to a directory named by time, and every file is a link through it.

    config/app.conf -> ..data/app.conf
    config/..data -> ..2026_11_22_23_50_04.1893470921
    config/..2026_11_22_23_50_04.1893470921/app.conf

A new content is written beside the old one and one rename of `..data` puts it in place, so that a reader sees the one or the other, and
who watches the directory with inotify sees `..data` being moved to. The layout and its names are Kubernetes' (pkg/volume/util, atomic
writer); everything is done beneath one descriptor, and no link is followed that a container may have planted (CVE-2017-1002102).
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from polong.kit.errors import Invalid
from polong.kubelet.volumes import removal
from polong.linux.fds import Fd
from polong.objects.podreferences import Reference

DATA = "..data"
_NEW = "..data_tmp"
_STAMP = re.compile(r"\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\.\d+")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST = 4_096


@dataclass(frozen=True)
class File:
    """`uid` None is root; `origin` is the object that it comes from."""

    data: bytes = field(repr=False)
    mode: int
    uid: int | None = None
    origin: Reference | None = None


Payload = Mapping[str, File]
"""Path below the volume, such as `app.conf` or `tls/key.pem`, to what is there."""


def is_written(directory: Path) -> bool:
    return (directory / DATA).is_symlink()


def write(directory: Path, payload: Payload, group: int | None, now: datetime) -> frozenset[str]:
    """Make the volume show `payload` and nothing else. The paths that changed, came or went; none where it showed that already.
    `group` (fsGroup) owns and may read every file. Invalid for a path that leaves the volume, OSError from the kernel; then what was
    there before is still there."""
    wanted = {path: _grouped(each, group) for path, each in payload.items()}
    for path in wanted:
        _check(path)
    with Fd(os.open(directory, _DIRECTORY)) as top:
        old = _current(top)
        changed = _difference(top, old, wanted, group) if old is not None else frozenset(wanted)
        if old is not None and not changed:
            _show(top, wanted)
            return changed
        new = _fill(top, wanted, group, now)
        _swap(top, new)
        _show(top, wanted)
        _clean(top, new, wanted)
    return changed


def _grouped(file: File, group: int | None) -> File:
    """Volumes of this kind are read-only: the group of the Pod may read, never write."""
    return file if group is None else replace(file, mode=file.mode | 0o440)


def _check(path: str) -> None:
    parts = path.split("/")
    if not path or path.startswith("/") or len(path) > _LONGEST or "\0" in path:
        raise Invalid(f"invalid path: {path[:80]!r} must be relative, not empty and at most {_LONGEST} characters long")
    if ".." in parts or parts[0].startswith(".."):
        raise Invalid(f"invalid path: {path[:80]!r} must not contain '..' nor start with it")


def _current(top: Fd) -> str | None:
    """The directory that `..data` names, where it is one that this module makes."""
    try:
        name = os.readlink(DATA, dir_fd=top.fileno())
    except OSError:
        return None
    return name if _STAMP.fullmatch(name) else None


def _difference(top: Fd, name: str, wanted: Payload, group: int | None) -> frozenset[str]:
    try:
        with Fd(os.open(name, _DIRECTORY, dir_fd=top.fileno())) as fd:
            there = _tree(fd, "")
            changed = {path for path, file in wanted.items() if path in there and not _is(fd, path, file, group)}
    except OSError:
        return frozenset(wanted)
    return frozenset(changed | (there ^ wanted.keys()))


def _tree(fd: Fd, prefix: str) -> set[str]:
    """Paths of all that is no directory."""
    found = set()
    with os.scandir(fd.fileno()) as entries:
        names = [(each.name, each.is_dir(follow_symlinks=False)) for each in entries]
    for name, is_directory in names:
        if is_directory:
            with Fd(os.open(name, _DIRECTORY, dir_fd=fd.fileno())) as child:
                found |= _tree(child, f"{prefix}{name}/")
        else:
            found.add(f"{prefix}{name}")
    return found


def _is(fd: Fd, path: str, file: File, group: int | None) -> bool:
    with _parent(fd, path) as parent, Fd(os.open(PurePosixPath(path).name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent.fileno())) as opened:
        found = os.fstat(opened.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size != len(file.data) or stat.S_IMODE(found.st_mode) != file.mode:
            return False
        if (found.st_uid, found.st_gid) != (file.uid or 0, group or 0):
            return False
        return os.pread(opened.fileno(), len(file.data) + 1, 0) == file.data


def _parent(fd: Fd, path: str, *, make: int | None = None) -> Fd:
    """The directory that holds `path`, walked without following links; `make` it with that mode where it is missing."""
    current = Fd(os.dup(fd.fileno()))
    try:
        for part in PurePosixPath(path).parts[:-1]:
            if make is not None:
                with suppress(FileExistsError):
                    os.mkdir(part, make, dir_fd=current.fileno())
            following = Fd(os.open(part, _DIRECTORY, dir_fd=current.fileno()))
            current.close()
            current = following
    except BaseException:
        current.close()
        raise
    return current


def _fill(top: Fd, wanted: Payload, group: int | None, now: datetime) -> str:
    """A directory of its own with the new content; gone again where it cannot be completed."""
    name = f"..{now:%Y_%m_%d_%H_%M_%S}.{secrets.randbelow(2**32)}"
    os.mkdir(name, 0o755, dir_fd=top.fileno())
    try:
        with Fd(os.open(name, _DIRECTORY, dir_fd=top.fileno())) as fd:
            _own_directory(fd, group)
            for path, file in wanted.items():
                with _parent(fd, path, make=0o755) as parent:
                    _create(parent, PurePosixPath(path).name, file, group)
            if group is not None:
                _own_directories(fd, group)
    except BaseException:
        with suppress(OSError):
            _remove(top, name)
        raise
    return name


def _create(parent: Fd, name: str, file: File, group: int | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with Fd(os.open(name, flags, 0o600, dir_fd=parent.fileno())) as fd:
        view = memoryview(file.data)
        while view:
            view = view[os.write(fd.fileno(), view) :]
        if file.uid or group is not None:
            os.fchown(fd.fileno(), file.uid or 0, group or 0)
        # Explicit: the mode of open goes through the umask, and a change of owner clears bits.
        os.fchmod(fd.fileno(), file.mode)


def _own_directory(fd: Fd, group: int | None) -> None:
    if group is not None:
        os.fchown(fd.fileno(), -1, group)
    os.fchmod(fd.fileno(), 0o755 if group is None else 0o2755)


def _own_directories(fd: Fd, group: int) -> None:
    with os.scandir(fd.fileno()) as entries:
        names = [each.name for each in entries if each.is_dir(follow_symlinks=False)]
    for name in names:
        with Fd(os.open(name, _DIRECTORY, dir_fd=fd.fileno())) as child:
            _own_directory(child, group)
            _own_directories(child, group)


def _swap(top: Fd, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(_NEW, dir_fd=top.fileno())
    os.symlink(name, _NEW, dir_fd=top.fileno())
    os.rename(_NEW, DATA, src_dir_fd=top.fileno(), dst_dir_fd=top.fileno())


def _show(top: Fd, wanted: Payload) -> None:
    """A link for each first component."""
    for name in {path.split("/")[0] for path in wanted}:
        target = f"{DATA}/{name}"
        try:
            if os.readlink(name, dir_fd=top.fileno()) == target:
                continue
        except FileNotFoundError:
            pass
        except OSError:
            _remove(top, name)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=top.fileno())
        os.symlink(target, name, dir_fd=top.fileno())


def _clean(top: Fd, new: str, wanted: Payload) -> None:
    """Whatever else lies there: links to files that are no more, and earlier contents. Subject to nobody's reading: they had their swap."""
    kept = {DATA, new, *(path.split("/")[0] for path in wanted)}
    with os.scandir(top.fileno()) as entries:
        names = [each.name for each in entries if each.name not in kept]
    for name in names:
        with suppress(OSError):
            _remove(top, name)


def _remove(top: Fd, name: str) -> None:
    removal.remove_entry(top.fileno(), name)
