"""A directory of a container as a tar archive, out of it and into it. Run by `fileworker`.

Everything beneath the directory is reached from its descriptor, one name at a time and through no link, so that a container that swaps
directories for links meanwhile sends nothing elsewhere (CVE-2018-15664, CVE-2019-14271).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from polong.kit import tarstream
from polong.kit.errors import Invalid, TooLarge
from polong.kit.tarstream import Entry, TarParser
from polong.kubelet.host import filewrite
from polong.kubelet.host.filewrite import New
from polong.linux import filesystems
from polong.linux.fds import Fd

MOST_ENTRIES = 100_000
MOST_DEEP = 128
MOST_BYTES = 64 << 30
"""Of a whole tree; a single file has its own limit."""

LEFT_OUT, FAILED = "left-out", "failed"
"""Remarks of an archive: a path and why it is not in it; why the archive ends before the tree does."""

_CHUNK = 256 * 1024
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


# --- out -----------------------------------------------------------------------------------------------------------------------------


@dataclass
class Archive:
    """Writes a tree through `put`. Ids go through `inside`, as the container counts them."""

    put: Callable[[bytes], object]
    most: int
    inside: Callable[[str, int], int]
    _entries: int = 0
    _bytes: int = 0

    def write(self, top: Fd) -> None:
        """Names are relative to `top`, which comes first, as "./". What stops it is a remark at the end."""
        try:
            self._directory(top, b"", 0)
        except (TooLarge, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            text = error.message if isinstance(error, TooLarge) else str(error.strerror or error).lower()
            self.put(tarstream.remark(FAILED, text))
        self.put(tarstream.END)

    def _directory(self, directory: Fd, prefix: bytes, depth: int) -> None:
        if depth > MOST_DEEP:
            raise TooLarge(f"{_shown(prefix)} is more than {MOST_DEEP} directories deep")
        self._entry(Entry(prefix or b"./", tarstream.DIRECTORY, 0, 0, 0, 0, 0), os.fstat(directory.fileno()))
        with os.scandir(directory.fileno()) as found:
            names = sorted(os.fsencode(each.name) for each in found)
        for name in names:
            path = prefix + name
            try:
                with Fd(os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory.fileno())) as held:
                    self._one(directory, held, name, path, depth)
            except FileNotFoundError:
                self._left_out(path, "it has vanished")

    def _one(self, parent: Fd, held: Fd, name: bytes, path: bytes, depth: int) -> None:
        about = os.fstat(held.fileno())
        if filesystems.magic(held.fileno()) in filesystems.KERNEL:
            self._left_out(path, "it is the kernel's, not the container's")
        elif stat.S_ISDIR(about.st_mode):
            # Through the name it could be another directory by now, which has its own entries: that of the container's either way.
            with Fd(os.open(b".", _DIRECTORY, dir_fd=held.fileno())) as directory:
                self._directory(directory, path + b"/", depth + 1)
        elif stat.S_ISLNK(about.st_mode):
            self._entry(Entry(path, tarstream.SYMLINK, 0, 0, 0, 0, 0, os.readlink(b"", dir_fd=held.fileno())), about)
        elif stat.S_ISREG(about.st_mode):
            self._file(held, path, about)
        else:
            self._left_out(path, f"it is a {filewrite.kind(about.st_mode)}")

    def _file(self, held: Fd, path: bytes, about: os.stat_result) -> None:
        size = about.st_size
        if size > self.most:
            self._left_out(path, f"it has {size} bytes, and the most is {self.most}")
            return
        self._bytes += size
        if self._bytes > MOST_BYTES:
            raise TooLarge(f"there are more than {MOST_BYTES} bytes: copy parts")
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        with Fd(os.open(f"/proc/self/fd/{held.fileno()}", flags)) as fd:
            self._entry(Entry(path, tarstream.REGULAR, 0, 0, 0, size, 0), about)
            left = size
            while left and (data := os.read(fd.fileno(), min(_CHUNK, left))):
                self.put(data)
                left -= len(data)
            if left:
                self._zeros(left)
                self._left_out(path, f"it was cut while it was read: its last {left} bytes are zeros")
        self.put(tarstream.padding(size))

    def _zeros(self, count: int) -> None:
        while count:
            self.put(bytes(min(_CHUNK, count)))
            count -= min(_CHUNK, count)

    def _entry(self, entry: Entry, about: os.stat_result) -> None:
        self._entries += 1
        if self._entries > MOST_ENTRIES:
            raise TooLarge(f"there are more than {MOST_ENTRIES} files: copy parts")
        uid, gid = self.inside("uids", about.st_uid), self.inside("gids", about.st_gid)
        mode = stat.S_IMODE(about.st_mode)
        self.put(tarstream.header(replace(entry, mode=mode, uid=uid, gid=gid, mtime=max(about.st_mtime_ns, 0))))

    def _left_out(self, path: bytes, why: str) -> None:
        self._remark(f"{_shown(path)} was left out: {why}" if not why.startswith("it was cut") else f"{_shown(path)}: {why}")

    def _remark(self, text: str) -> None:
        self.put(tarstream.remark(LEFT_OUT, text))


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


# --- in ------------------------------------------------------------------------------------------------------------------------------


@dataclass
class _Open:
    name: bytes
    fd: Fd


@dataclass
class Extraction:
    """Puts the entries of an archive beneath `top`. New ones belong to `uid` and `gid`, whatever the archive says."""

    top: Fd
    shown: str
    uid: int
    gid: int
    most: int
    fresh: bool
    entries: int = 0
    written: int = 0
    left_out: list[str] = field(default_factory=list)
    _path: list[_Open] = field(default_factory=list)

    def run(self, pieces: Iterable[bytes]) -> None:
        """Invalid, TooLarge, OSError; what was written until then stays."""
        parser = TarParser(MOST_ENTRIES)
        try:
            events = self._events(parser, pieces)
            for event in events:
                if isinstance(event, Entry):
                    self._take(event, events)
        finally:
            for each in self._path:
                each.fd.close()

    def _events(self, parser: TarParser, pieces: Iterable[bytes]) -> Iterator[Entry | bytes]:
        for piece in pieces:
            yield from parser.feed(piece)
        parser.finish()

    def _take(self, entry: Entry, events: Iterator[Entry | bytes]) -> None:
        parts = [part for part in entry.name.split(b"/") if part not in {b"", b"."}]
        shown = f"{self.shown.rstrip('/')}/{_shown(b'/'.join(parts))}"
        if b".." in parts:
            raise Invalid(f"the archive has an entry that climbs: {_shown(entry.name)}")
        if len(parts) > MOST_DEEP:
            raise TooLarge(f"{shown} is more than {MOST_DEEP} directories deep")
        new = New(self.uid, self.gid, entry.mode & 0o777, replaces_links=True)
        if entry.kind == tarstream.DIRECTORY:
            self._enter(parts, entry.mode & 0o1777)
        elif not parts:
            raise Invalid(f"the archive has an entry without a name, of {entry.size} bytes")
        elif entry.kind == tarstream.REGULAR:
            self._file(entry, filewrite.Place(self._enter(parts[:-1]), os.fsdecode(parts[-1]), shown), new, events)
        elif entry.kind == tarstream.SYMLINK:
            filewrite.link(filewrite.Place(self._enter(parts[:-1]), os.fsdecode(parts[-1]), shown), os.fsdecode(entry.link), new)
        else:
            self.left_out.append(f"{shown} was left out: only files, directories and symbolic links are written")
            return
        self.entries += bool(parts)

    def _file(self, entry: Entry, place: filewrite.Place, new: New, events: Iterator[Entry | bytes]) -> None:
        if entry.size > self.most:
            raise TooLarge(f"{place.path} would become larger than {self.most} bytes")
        self.written += entry.size
        if self.written > MOST_BYTES:
            raise TooLarge(f"there are more than {MOST_BYTES} bytes: copy parts")

        def fill(fd: Fd) -> None:
            left = entry.size
            while left:
                data = next(events, b"")
                if not isinstance(data, bytes) or not data:
                    raise Invalid("tar archive is cut off")
                left -= len(data)
                write_all(fd, data)

        filewrite.put(place, new, fill)

    def _enter(self, parts: list[bytes], mode: int | None = None) -> Fd:
        """The directory of these names beneath the top, made where it is not there, and held: it is walked to once. `mode` is for
        the last one, where it is new."""
        if not parts:
            if mode is not None and self.fresh:
                os.fchmod(self.top.fileno(), mode)
            return self.top
        common = 0
        while common < min(len(parts), len(self._path)) and self._path[common].name == parts[common]:
            common += 1
        for each in self._path[common:]:
            each.fd.close()
        del self._path[common:]
        for place in range(common, len(parts)):
            parent = self._path[-1].fd if self._path else self.top
            shown = f"{self.shown.rstrip('/')}/{_shown(b'/'.join(parts[: place + 1]))}"
            own = mode if mode is not None and place == len(parts) - 1 else 0o755
            found, _ = filewrite.directory(filewrite.Place(parent, os.fsdecode(parts[place]), shown), New(self.uid, self.gid, own))
            self._path.append(_Open(parts[place], found))
        return self._path[-1].fd


def write_all(fd: Fd, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd.fileno(), view) :]
