"""Paths that a container, an image or a volume controls: resolved by the kernel beneath a directory descriptor, never by string.

    IN_ROOT   links are followed, but as the container sees them: "/" and ".." end at the root (for destinations in a rootfs)
    BENEATH   leaving the root is an error
    NO_LINKS  no symbolic link at all (for trees that only the engine writes)

Magic links (/proc/N/fd, /proc/N/root) are refused in all three. openat2(2).
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from polong.kit.errors import Invalid, TooLarge
from polong.linux import syscalls
from polong.linux.fds import Fd
from polong.linux.flags import RESOLVE

IN_ROOT = RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS
BENEATH = RESOLVE.BENEATH | RESOLVE.NO_MAGICLINKS
NO_LINKS = RESOLVE.BENEATH | RESOLVE.NO_MAGICLINKS | RESOLVE.NO_SYMLINKS
_RETRIES = 64
_LINKS = 40


class Root:
    """A directory as the top of a tree of foreign paths. Close after use (`with`)."""

    def __init__(self, fd: Fd) -> None:
        self._fd = fd

    @classmethod
    def open(cls, directory: str | Path) -> Root:
        """`directory` itself is the engine's own path; its last component may not be a link."""
        return cls(Fd(os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)))

    def fileno(self) -> int:
        return self._fd.fileno()

    def close(self) -> None:
        self._fd.close()

    def __enter__(self) -> Root:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open_at(self, path: str, flags: int = os.O_PATH, *, resolve: int = IN_ROOT, mode: int = 0) -> Fd:
        """OSError as from open(2); ELOOP for a refused link, EXDEV for an escape."""
        if "\0" in path:
            raise Invalid(f"path {path[:60]!r} contains a NUL byte")
        relative = path.lstrip("/") or "."
        for _ in range(_RETRIES):
            try:
                return Fd(syscalls.openat2(self._fd.fileno(), relative, flags, mode=mode, resolve=resolve))
            except OSError as error:
                # A rename raced with the walk: openat2(2) asks to try again.
                if error.errno != errno.EAGAIN:
                    raise
        raise OSError(errno.EAGAIN, "openat2: the tree changes too fast", path)

    def resolve(self, path: str) -> str:
        """Where `path` really is, as an absolute path from this root. FileNotFoundError where it is not."""
        with self.open_at(path) as fd:
            return self._name(fd)

    def _name(self, fd: Fd) -> str:
        base, full = (str(Path(f"/proc/self/fd/{number}").readlink()) for number in (self._fd.fileno(), fd.fileno()))
        if full != base and not full.startswith(base.rstrip("/") + "/"):
            raise OSError(errno.EXDEV, "path left its root while it was resolved", full)
        return "/" + full[len(base.rstrip("/")) :].strip("/")

    def resolve_missing(self, path: str) -> str:
        """As `resolve`, for a path whose last components need not exist yet. A dangling link is followed to where it would lead: it
        may lead somewhere once more is mounted."""
        for _ in range(_LINKS):
            found, rest = self._existing(path)
            link = self._dangling(found, rest[0]) if rest else None
            if link is None:
                if ".." in rest:
                    raise Invalid(f"path {path!r} climbs out of a directory that does not exist")
                return "/".join([found.rstrip("/"), *rest]) or "/"
            path = "/".join([link if link.startswith("/") else f"{found}/{link}", *rest[1:]])
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)

    def _existing(self, path: str) -> tuple[str, list[str]]:
        """The longest part that is there, resolved, and the components after it."""
        parts = [part for part in path.split("/") if part not in {"", "."}]
        for count in range(len(parts), -1, -1):
            try:
                return self.resolve("/" + "/".join(parts[:count])), parts[count:]
            except FileNotFoundError:
                continue
        raise FileNotFoundError(errno.ENOENT, "root is gone", path)

    def _dangling(self, directory: str, name: str) -> str | None:
        try:
            with self.open_at(directory, os.O_PATH) as parent:
                return os.readlink(name, dir_fd=parent.fileno())
        except OSError:
            return None

    def make_directories(self, path: str, mode: int = 0o755, *, resolve: int = IN_ROOT) -> Fd:
        """mkdir -p beneath the root; an O_PATH descriptor of the last one. NotADirectoryError where a file stands in the way."""
        current = Fd(os.dup(self._fd.fileno()))
        walked = ""
        for part in [part for part in path.split("/") if part not in {"", "."}]:
            if part == "..":
                current.close()
                raise Invalid(f"path {path!r} contains '..'")
            walked = f"{walked}/{part}"
            try:
                found = self._directory(walked, part, current, mode, resolve)
            finally:
                current.close()
            current = found
        return current

    def _directory(self, walked: str, part: str, parent: Fd, mode: int, resolve: int) -> Fd:
        try:
            return self.open_at(walked, os.O_PATH | os.O_DIRECTORY, resolve=resolve)
        except FileNotFoundError:
            os.mkdir(part, mode, dir_fd=parent.fileno())
            # What was made, or nothing: links above it were followed once already.
            return Fd(os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent.fileno()))

    def read(self, path: str, limit: int, *, resolve: int = IN_ROOT) -> bytes:
        """A regular file, whole. TooLarge beyond `limit` bytes; Invalid for a device, FIFO, socket or directory (never blocks)."""
        with self.open_at(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, resolve=resolve) as fd:
            return read_regular(fd, path, limit)

    def write(self, path: str, data: bytes, mode: int = 0o644, *, resolve: int = NO_LINKS) -> None:
        """Create or replace a regular file in a directory that exists: a new file renamed over the old entry, whatever that was."""
        head, _, name = path.rstrip("/").rpartition("/")
        if name in {"", ".", ".."}:
            raise Invalid(f"{path!r} names no file")
        with self.open_at(head or "/", os.O_RDONLY | os.O_DIRECTORY, resolve=resolve) as parent:
            temporary = f".{name[:200]}.polong"
            with (
                _unlinked(temporary, parent),
                Fd(
                    os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent.fileno())
                ) as fd,
            ):
                view = memoryview(data)
                while view:
                    view = view[os.write(fd.fileno(), view) :]
                os.fchmod(fd.fileno(), mode)
                os.replace(temporary, name, src_dir_fd=parent.fileno(), dst_dir_fd=parent.fileno())

    def kind(self, path: str, *, resolve: int = IN_ROOT) -> int | None:
        """stat.S_IFMT of what is there (a last link is not followed), None where nothing is."""
        head, _, name = path.rstrip("/").rpartition("/")
        try:
            with self.open_at(head or "/", os.O_PATH | os.O_DIRECTORY, resolve=resolve) as parent:
                return stat.S_IFMT(os.stat(name or ".", dir_fd=parent.fileno(), follow_symlinks=False).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return None


class _unlinked:  # noqa: N801 - reads as a statement
    """Removes the entry before, and after where it is still there."""

    def __init__(self, name: str, parent: Fd) -> None:
        self._name, self._parent = name, parent

    def __enter__(self) -> None:
        self._remove()

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _remove(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=self._parent.fileno())


def read_regular(fd: Fd, path: str, limit: int) -> bytes:
    """All of an open regular file, at most `limit` bytes (TooLarge)."""
    found = os.fstat(fd.fileno())
    if not stat.S_ISREG(found.st_mode):
        raise Invalid(f"{path} is not a regular file")
    chunks: list[bytes] = []
    total = 0
    while chunk := os.read(fd.fileno(), min(1 << 16, limit + 1 - total)):
        chunks.append(chunk)
        total += len(chunk)
        if total > limit:
            raise TooLarge(f"{path} is larger than {limit} bytes")
    return b"".join(chunks)
