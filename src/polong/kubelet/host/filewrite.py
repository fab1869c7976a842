"""One file put in place of another in a directory that is held: whole or not at all, through no link. Run by `fileworker`."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from polong.kit.errors import Conflict, Invalid
from polong.linux import filesystems
from polong.linux.fds import Fd

TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character-device",
    stat.S_IFBLK: "block-device",
}

# What vouches for the content that was: write(2) takes security.capability away just as it does setuid (file_remove_privs), and the
# hashes of IMA and EVM would be wrong.
_OF_THE_CONTENT = frozenset({"security.capability", "security.ima", "security.evm"})


def kind(mode: int) -> str:
    """The type of a file, by st_mode, in words."""
    return TYPES.get(stat.S_IFMT(mode), "special file")


def version(found: os.stat_result) -> str:
    """Changes whenever the file does."""
    return f"{found.st_ino}.{found.st_mtime_ns}.{found.st_ctime_ns}.{found.st_size}"


def refuse_kernel(fd: Fd, path: str) -> None:
    """Invalid where the directory is on a file system of the kernel's."""
    if filesystems.magic(fd.fileno()) in filesystems.KERNEL:
        raise Invalid(f"{path} is on a file system of the kernel's: nothing is written there")


@dataclass(frozen=True)
class Place:
    """Where a file is to be: `name` in the directory `parent`; `path` is what it is called in messages."""

    parent: Fd
    name: str
    path: str

    @contextmanager
    def there(self) -> Iterator[Fd | None]:
        """What is there, held and not opened; None where nothing is."""
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            found = Fd(os.open(self.name, flags, dir_fd=self.parent.fileno()))
        except FileNotFoundError:
            yield None
            return
        with found:
            yield found

    def temporary(self) -> str:
        # Fewer than the 255 bytes that a name may have, whatever the characters.
        return f".{os.fsdecode(os.fsencode(self.name)[:200])}.{os.getpid()}.polong"

    def unlink(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.parent.fileno())


@dataclass(frozen=True)
class New:
    """Whose a new file is, and its permission bits; `replaces_links`: one that stands there gives way, and is not followed."""

    uid: int
    gid: int
    mode: int
    expected: str = ""
    replaces_links: bool = False


def put(place: Place, new: New, fill: Callable[[Fd], None]) -> os.stat_result:
    """A file with what `fill` writes. One that is replaced leaves it its owner, permissions and extended attributes, but not setuid,
    setgid and capabilities, which are the old content's. Conflict where it is not of the version `new.expected`."""
    with place.there() as old:
        found = None if old is None else os.fstat(old.fileno())
        _unchanged(found, place, new.expected)
        if found is not None and not stat.S_ISREG(found.st_mode):
            if not (new.replaces_links and stat.S_ISLNK(found.st_mode)):
                raise Invalid(f"{place.path} is a {kind(found.st_mode)}, not a regular file")
            old = found = None
        temporary = place.temporary()
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with Fd(os.open(temporary, flags, 0o600, dir_fd=place.parent.fileno())) as fd:
                fill(fd)
                owner = (new.uid, new.gid) if found is None else (found.st_uid, found.st_gid)
                os.fchown(fd.fileno(), *owner)
                os.fchmod(fd.fileno(), new.mode if found is None else stat.S_IMODE(found.st_mode) & 0o777)
                if old is not None:
                    _take_attributes(fd, old)
                if new.expected:
                    with place.there() as now:
                        _unchanged(None if now is None else os.fstat(now.fileno()), place, new.expected)
                os.replace(temporary, place.name, src_dir_fd=place.parent.fileno(), dst_dir_fd=place.parent.fileno())
                return os.fstat(fd.fileno())
        except BaseException:
            place.unlink(temporary)
            raise


def link(place: Place, goal: str, new: New) -> None:
    """A symbolic link, in place of a file or link that is there."""
    with place.there() as old:
        found = None if old is None else os.fstat(old.fileno()).st_mode
        if found is not None and not (stat.S_ISREG(found) or stat.S_ISLNK(found)):
            raise Invalid(f"{place.path} is a {kind(found)}, not a link")
    temporary = place.temporary()
    try:
        os.symlink(goal, temporary, dir_fd=place.parent.fileno())
        os.chown(temporary, new.uid, new.gid, dir_fd=place.parent.fileno(), follow_symlinks=False)
        os.replace(temporary, place.name, src_dir_fd=place.parent.fileno(), dst_dir_fd=place.parent.fileno())
    except BaseException:
        place.unlink(temporary)
        raise


def directory(place: Place, new: New) -> tuple[Fd, bool]:
    """The directory that is there, or a new one, open; and whether it is new. Invalid for a link, or anything else."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    made = False
    try:
        os.mkdir(place.name, 0o700, dir_fd=place.parent.fileno())
        made = True
    except FileExistsError:
        pass
    try:
        found = Fd(os.open(place.name, flags, dir_fd=place.parent.fileno()))
    except NotADirectoryError:
        with place.there() as other:
            what = kind(os.fstat(other.fileno()).st_mode) if other is not None else "file"
        raise Invalid(f"{place.path} is a {what}, not a directory: nothing is written through it") from None
    try:
        refuse_kernel(found, place.path)
        if made:
            os.fchown(found.fileno(), new.uid, new.gid)
            os.fchmod(found.fileno(), new.mode)
    except BaseException:
        found.close()
        raise
    return found, made


def _unchanged(found: os.stat_result | None, place: Place, expected: str) -> None:
    """Refuses to replace what is no longer the version that the writer has read."""
    if expected and (found is None or version(found) != expected):
        raise Conflict(f"{place.path} was changed by somebody else since it was read: nothing was written")


def _take_attributes(fd: Fd, held: Fd) -> None:
    """Extended attributes of the file that is replaced: of the very one that is held, whatever its name leads to by now. Those that
    its file system does not let us set stay behind."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with suppress(OSError), Fd(os.open(f"/proc/self/fd/{held.fileno()}", flags)) as old:
        for each in os.listxattr(old.fileno()):
            if each not in _OF_THE_CONTENT:
                with suppress(OSError):
                    os.setxattr(fd.fileno(), each, os.getxattr(old.fileno(), each))
