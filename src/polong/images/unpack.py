"""Apply one layer to an empty directory, in overlayfs' own terms: whiteouts are 0:0 devices, opaque directories carry an attribute.

Every path is opened by the kernel beneath the directory's descriptor; the last component is never followed; owner, mode, times and
attributes are set on what was created, not on a name. OCI image specification "Image Layer Filesystem Changeset".
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from polong.images import trees
from polong.kit import tarstream
from polong.kit.errors import Invalid
from polong.kit.tarstream import Entry
from polong.linux.fds import Fd
from polong.linux.paths import IN_ROOT, NO_LINKS, Root

T = TypeVar("T")

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_OPAQUE_XATTR = "trusted.overlay.opaque"
_CAPABILITY = "security.capability"
_CAPABILITY_V2 = (20, b"\x02")
_ID_LIMIT = (1 << 32) - 1
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TIME_LIMIT = (1 << 33) * 1_000_000_000


class NeedsLower(Exception):  # noqa: N818 - a demand, not a fault
    """The layer refers to layers below it, which were not given."""


@dataclass
class Totals:
    """What was written."""

    bytes: int = 0
    inodes: int = 0
    skipped_devices: int = 0


class Unpacker:
    """`top` is the layer's own directory; `lowers` the layers below, highest first, looked at for the attributes of directories that
    the layer implies and for the targets of hard links; None where they are not there yet: NeedsLower is raised when it comes to that."""

    def __init__(self, top: Root, lowers: Sequence[Root] | None = ()) -> None:
        self._top = top
        self._lowers = lowers
        self.totals = Totals(inodes=1)
        self._parent: tuple[str, Fd] | None = None
        self._file: Fd | None = None
        self._pending: Entry | None = None
        self._times: dict[str, int] = {}
        self._left = 0

    def take(self, event: Entry | bytes) -> None:
        """The parser's events, in order. Invalid for what no layer may hold; OSError from the kernel."""
        if isinstance(event, Entry):
            self._begin(event)
        elif self._file is not None:
            view = memoryview(event)
            while view:
                view = view[os.write(self._file.fileno(), view) :]
            self.totals.bytes += len(event)
            self._left -= len(event)
            if not self._left:
                self._end_file()

    def finish(self) -> None:
        """Times of directories last, because every entry made in one changes them."""
        self.close()
        for path, mtime in self._times.items():
            with suppress(OSError), self._top.open_at(path, _DIRECTORY, resolve=NO_LINKS) as fd:
                os.utime(fd.fileno(), ns=(mtime, mtime))

    def close(self) -> None:
        """Idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._forget_parent()

    # --- entries ------------------------------------------------------------------------------------------------------------

    def _begin(self, entry: Entry) -> None:
        parts = _parts(entry.name)
        if entry.uid >= _ID_LIMIT or entry.gid >= _ID_LIMIT:
            raise Invalid(f"layer entry {_shown(entry.name)} has an owner out of range")
        if not parts:
            if entry.kind != tarstream.DIRECTORY:
                raise Invalid("layer has an entry without a name")
            with self._top.open_at("/", _DIRECTORY) as fd:
                self._attributes(fd, entry)
            self._times["/"] = _clamp(entry.mtime)
            return
        directory, name = "/".join(parts[:-1]), parts[-1]
        parent = self._open_parent(directory)
        if name.startswith(_WHITEOUT):
            self._whiteout(entry, parent, name)
            return
        path = f"{directory}/{name}"
        self._times.pop(path, None)
        match entry.kind:
            case tarstream.REGULAR:
                self._regular(entry, parent, name)
            case tarstream.DIRECTORY:
                self._directory(entry, parent, name)
                self._times[path] = _clamp(entry.mtime)
            case tarstream.SYMLINK:
                self._symlink(entry, parent, name)
            case tarstream.HARDLINK:
                self._hardlink(entry, parent, name)
            case tarstream.FIFO:
                self._make(parent, name, lambda: os.mkfifo(name, 0o600, dir_fd=parent.fileno()))
                os.chown(name, entry.uid, entry.gid, dir_fd=parent.fileno(), follow_symlinks=False)
                with Fd(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent.fileno())) as fd:
                    os.fchmod(fd.fileno(), entry.mode)
            case _:
                # A container's /dev is made fresh for it; a node elsewhere is of use to nobody but an attacker.
                self.totals.skipped_devices += 1

    def _regular(self, entry: Entry, parent: Fd, name: str) -> None:
        self._file = Fd(self._make(parent, name, lambda: os.open(name, _CREATE, 0o600, dir_fd=parent.fileno())))
        self._pending = entry
        self._left = entry.size
        if not entry.size:
            self._end_file()

    def _end_file(self) -> None:
        assert self._file is not None
        assert self._pending is not None
        with self._file as fd:
            self._attributes(fd, self._pending)
            mtime = _clamp(self._pending.mtime)
            os.utime(fd.fileno(), ns=(mtime, mtime))
        self._file = self._pending = None

    def _directory(self, entry: Entry, parent: Fd, name: str) -> None:
        hides = False
        try:
            os.mkdir(name, 0o700, dir_fd=parent.fileno())
            self.totals.inodes += 1
        except FileExistsError:
            found = os.stat(name, dir_fd=parent.fileno(), follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                hides = stat.S_ISCHR(found.st_mode) and found.st_rdev == 0
                self._remove(parent, name)
                os.mkdir(name, 0o700, dir_fd=parent.fileno())
                self.totals.inodes += 1
        with Fd(os.open(name, _DIRECTORY, dir_fd=parent.fileno())) as fd:
            if hides:
                # The layer deletes what was below and puts a new directory there.
                os.setxattr(fd.fileno(), _OPAQUE_XATTR, b"y")
            self._attributes(fd, entry)

    def _symlink(self, entry: Entry, parent: Fd, name: str) -> None:
        if not entry.link:
            raise Invalid(f"layer entry {_shown(entry.name)} is a link to nothing")
        target = os.fsdecode(entry.link)
        self._make(parent, name, lambda: os.symlink(target, name, dir_fd=parent.fileno()))
        os.chown(name, entry.uid, entry.gid, dir_fd=parent.fileno(), follow_symlinks=False)
        mtime = _clamp(entry.mtime)
        os.utime(name, ns=(mtime, mtime), dir_fd=parent.fileno(), follow_symlinks=False)

    def _hardlink(self, entry: Entry, parent: Fd, name: str) -> None:
        parts = _parts(entry.link)
        if not parts:
            raise Invalid(f"layer entry {_shown(entry.name)} is a hard link to nothing")
        directory, target = "/".join(parts[:-1]), parts[-1]
        try:
            with self._top.open_at(f"/{directory}", os.O_PATH | os.O_DIRECTORY) as source:
                found = os.stat(target, dir_fd=source.fileno(), follow_symlinks=False)
                if not stat.S_ISREG(found.st_mode):
                    raise Invalid(f"layer entry {_shown(entry.name)} is a hard link to something that is no regular file")
                if _same(found, parent, name):
                    return
                self._make(
                    parent,
                    name,
                    lambda: os.link(target, name, src_dir_fd=source.fileno(), dst_dir_fd=parent.fileno(), follow_symlinks=False),
                )
                self.totals.inodes -= 1
        except (FileNotFoundError, NotADirectoryError):
            self._copy_lower(entry, parent, name, "/".join(parts))

    def _copy_lower(self, entry: Entry, parent: Fd, name: str, target: str) -> None:
        """A hard link to a file of a lower layer: its content becomes a file of this one, as overlayfs would copy it up."""
        for lower in self._below():
            try:
                source = lower.open_at(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except OSError as error:
                if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                    continue
                break
            with source:
                found = os.fstat(source.fileno())
                if not stat.S_ISREG(found.st_mode):
                    break
                with Fd(self._make(parent, name, lambda: os.open(name, _CREATE, 0o600, dir_fd=parent.fileno()))) as fd:
                    while os.copy_file_range(source.fileno(), fd.fileno(), 1 << 30):
                        pass
                    os.fchown(fd.fileno(), found.st_uid, found.st_gid)
                    os.fchmod(fd.fileno(), stat.S_IMODE(found.st_mode))
                    os.utime(fd.fileno(), ns=(found.st_mtime_ns, found.st_mtime_ns))
                self.totals.bytes += found.st_size
                return
        raise Invalid(f"layer entry {_shown(entry.name)} is a hard link to {_shown(entry.link)}, which is not there")

    def _whiteout(self, entry: Entry, parent: Fd, name: str) -> None:
        if name == _OPAQUE:
            with Fd(os.open(".", _DIRECTORY, dir_fd=parent.fileno())) as fd:
                os.setxattr(fd.fileno(), _OPAQUE_XATTR, b"y")
            return
        victim = name.removeprefix(_WHITEOUT)
        if victim.startswith(_WHITEOUT) and victim[len(_WHITEOUT) :].startswith(("plnk", "aufs")):
            return  # aufs' own book-keeping, found in old images; means nothing elsewhere
        if victim in {"", ".", ".."} or victim.startswith(_WHITEOUT):
            raise Invalid(f"layer has the malformed whiteout {_shown(entry.name)}")
        try:
            os.mknod(victim, stat.S_IFCHR, 0, dir_fd=parent.fileno())
            self.totals.inodes += 1
        except FileExistsError:
            # The layer's own content stays (a whiteout speaks of lower layers); a directory then hides the lower one whole.
            with suppress(NotADirectoryError, OSError), Fd(os.open(victim, _DIRECTORY, dir_fd=parent.fileno())) as fd:
                os.setxattr(fd.fileno(), _OPAQUE_XATTR, b"y")

    # --- places -------------------------------------------------------------------------------------------------------------

    def _open_parent(self, path: str) -> Fd:
        """The directory of the next entries; kept, because tar lists a directory's members together."""
        if self._parent is not None and self._parent[0] == path:
            return self._parent[1]
        self._forget_parent()
        try:
            fd = self._top.open_at(f"/{path}", os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            fd = self._imply(path)
        except OSError as error:
            if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
                raise
            raise Invalid(f"layer has entries below {path!r}, which is no directory") from None
        self._parent = (path, fd)
        return fd

    def _imply(self, path: str) -> Fd:
        """Make the directories that an entry takes for granted, looking as they look in the layers below."""
        current = self._top.open_at("/", os.O_PATH | os.O_DIRECTORY)
        walked = ""
        for part in path.split("/"):
            walked = f"{walked}/{part}"
            with current:
                try:
                    following = self._top.open_at(walked, os.O_PATH | os.O_DIRECTORY)
                except FileNotFoundError:
                    try:
                        os.mkdir(part, 0o755, dir_fd=current.fileno())
                    except FileExistsError:
                        raise Invalid(f"layer has entries below {walked!r}, a link that leads nowhere") from None
                    self.totals.inodes += 1
                    following = self._top.open_at(walked, _DIRECTORY, resolve=IN_ROOT)
                    self._inherit(following, walked)
                except NotADirectoryError:
                    raise Invalid(f"layer has entries below {walked!r}, which is no directory") from None
            current = following
        return current

    def _below(self) -> Sequence[Root]:
        if self._lowers is None:
            raise NeedsLower
        return self._lowers

    def _inherit(self, fd: Fd, path: str) -> None:
        for lower in self._below():
            with suppress(OSError), lower.open_at(path, os.O_PATH | os.O_DIRECTORY) as source:
                found = os.fstat(source.fileno())
                os.fchown(fd.fileno(), found.st_uid, found.st_gid)
                os.fchmod(fd.fileno(), stat.S_IMODE(found.st_mode))
                return
        os.fchmod(fd.fileno(), 0o755)

    def _make(self, parent: Fd, name: str, create: Callable[[], T]) -> T:
        """Create an entry, replacing what this layer put there before."""
        try:
            made = create()
        except FileExistsError:
            self._remove(parent, name)
            made = create()
        self.totals.inodes += 1
        return made

    def _remove(self, parent: Fd, name: str) -> None:
        trees.remove(parent.fileno(), name)

    def _forget_parent(self) -> None:
        if self._parent is not None:
            self._parent[1].close()
            self._parent = None

    def _attributes(self, fd: Fd, entry: Entry) -> None:
        os.fchown(fd.fileno(), entry.uid, entry.gid)
        os.fchmod(fd.fileno(), entry.mode)
        for name, value in entry.xattrs.items():
            if _wanted(name, value):
                with suppress(OSError):  # a file system without user attributes loses them, as with every other engine
                    os.setxattr(fd.fileno(), name, value)


def _wanted(name: str, value: bytes) -> bool:
    """File capabilities in their version without a user namespace, and users' own attributes; never overlayfs' or a security module's."""
    if name == _CAPABILITY:
        length, version = _CAPABILITY_V2
        return len(value) == length and value[3:4] == version
    return name.startswith("user.") and not name.startswith("user.overlay.") and len(name) < 256 and len(value) <= 65536


def _parts(name: bytes) -> list[str]:
    """The components of a member's name. Leading slashes and dots are as good as absent; climbing is refused, wherever it would lead."""
    parts = [part for part in name.split(b"/") if part not in {b"", b"."}]
    if b".." in parts:
        raise Invalid(f"layer entry {_shown(name)} climbs out with '..'")
    if any(len(part) > 255 for part in parts):
        raise Invalid(f"layer entry {_shown(name)} has a name longer than 255 bytes")
    return [os.fsdecode(part) for part in parts]


def _same(found: os.stat_result, parent: Fd, name: str) -> bool:
    try:
        there = os.stat(name, dir_fd=parent.fileno(), follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino)


def _clamp(mtime: int) -> int:
    return max(-_TIME_LIMIT, min(mtime, _TIME_LIMIT))


def _shown(name: bytes) -> str:
    return repr(os.fsdecode(name[:120]).encode("unicode_escape", "surrogateescape").decode())
