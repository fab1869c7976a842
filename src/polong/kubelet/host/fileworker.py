"""The process that looks at one path of a container: `python -I -m polong.kubelet.host.fileworker`, its task as JSON in its argument.

It never enters the container: it stays in the node's namespaces and walks from the descriptor of the container's root, beneath which the
kernel resolves every path (openat2). Being a process of its own, it can be killed whatever a file system there does to it. Its answer is
one line of JSON, and after it, for `read`, the bytes.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import select
import stat
import sys
from contextlib import suppress
from typing import Any

from polong.kit.errors import Conflict, FailedPrecondition, Invalid, NotFound, PolongError, TooLarge
from polong.linux import filesystems, paths
from polong.linux.fds import Fd

Json = dict[str, Any]

MOST_ENTRIES = 10_000
_CHUNK = 64 * 1024
_MEMORY = 512 << 20
_TAIL_BYTES = 8 << 20
_LOOK_AGAIN_MS = 250
_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character-device",
    stat.S_IFBLK: "block-device",
}


def run(task: Json) -> None:
    """`task`: {root, main, op, path} and what the operation takes; `root` and `main` (a pidfd) are descriptors. Writes the answer."""
    with paths.Root(Fd(task["root"])) as root:
        if task["op"] == "write":
            _say(_write(root, task))
            return
        with root.open_at(task["path"]) as found:
            match task["op"]:
                case "stat":
                    _say(_described(task["path"], os.fstat(found.fileno())))
                case "list":
                    _say({**_described(task["path"], os.fstat(found.fileno())), **_entries(found, task["path"])})
                case "read":
                    _read(found, task)


def _say(answer: Json) -> None:
    _put(json.dumps(answer).encode() + b"\n")


def _put(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def _described(name: str, found: os.stat_result) -> Json:
    return {
        "name": name,
        "type": _TYPES.get(stat.S_IFMT(found.st_mode), "unknown"),
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "uid": found.st_uid,
        "gid": found.st_gid,
        "sizeBytes": found.st_size,
        "modified": int(found.st_mtime),
        "version": f"{found.st_ino}.{found.st_mtime_ns}.{found.st_ctime_ns}.{found.st_size}",
    }


def _entries(directory: Fd, path: str) -> Json:
    """At most MOST_ENTRIES, sorted; `truncated` where there are more. A name that is no UTF-8 has its bytes written as escapes."""
    if not stat.S_ISDIR(os.fstat(directory.fileno()).st_mode):
        raise Invalid(f"{path} is not a directory")
    items: list[Json] = []
    truncated = False
    with Fd(os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory.fileno())) as fd, os.scandir(fd.fileno()) as entries:
        for entry in entries:
            if len(items) == MOST_ENTRIES:
                truncated = True
                break
            try:
                item = _described(_name(entry.name), entry.stat(follow_symlinks=False))
                if item["type"] == "link":
                    item["target"] = _name(os.readlink(entry.name, dir_fd=fd.fileno()))
            except FileNotFoundError:
                continue
            items.append(item)
    return {"items": sorted(items, key=lambda item: str(item["name"])), "truncated": truncated}


def _name(raw: str) -> str:
    return os.fsencode(raw).decode("utf-8", "backslashreplace")


def _regular(found: Fd, path: str) -> os.stat_result:
    """Refuses what would block, never end, or act when it is opened."""
    about = os.fstat(found.fileno())
    if not stat.S_ISREG(about.st_mode):
        raise Invalid(f"{path} is a {_TYPES.get(stat.S_IFMT(about.st_mode), 'special file')}, not a regular file")
    if filesystems.magic(found.fileno()) in filesystems.KERNEL:
        raise Invalid(f"{path} is a file of the kernel's, not of the container's: read it from inside, with exec")
    return about


# --- read ----------------------------------------------------------------------------------------------------------------------------


def _read(found: Fd, task: Json) -> None:
    path = task["path"]
    about = _regular(found, path)
    # The same file, not the same name: the name may be another file's by now.
    with Fd(os.open(f"/proc/self/fd/{found.fileno()}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)) as fd:
        start = min(task.get("offset", 0), about.st_size)
        if task.get("tail") is not None:
            start = _tail(fd, about.st_size, task["tail"])
        length = about.st_size - start
        most = task["most"]
        if task.get("limit") is not None:
            length = min(length, task["limit"])
        if length > most:
            raise TooLarge(f"{path} has {length} bytes to read; the most is {most}: read it in parts, by offset and limit")
        _say(_described(path, about))
        done = _copy(fd, start, length)
        if task.get("follow"):
            _follow(fd, start + done, task["main"])


def _copy(fd: Fd, start: int, length: int) -> int:
    done = 0
    while done < length and (data := os.pread(fd.fileno(), min(_CHUNK, length - done), start + done)):
        _put(data)
        done += len(data)
    return done


def _tail(fd: Fd, size: int, lines: int) -> int:
    """Where the last `lines` lines begin; of a line without end, the last _TAIL_BYTES."""
    if lines == 0:
        return size
    start = max(0, size - _TAIL_BYTES)
    position = size
    left = lines
    while position > start:
        begin = max(start, position - _CHUNK)
        data = os.pread(fd.fileno(), position - begin, begin)
        index = len(data)
        if position == size and data.endswith(b"\n"):
            index -= 1
        while (index := data.rfind(b"\n", 0, index)) >= 0:
            left -= 1
            if not left:
                return begin + index + 1
        position = begin
    return start


def _follow(fd: Fd, position: int, main: int) -> None:
    """What is added, until the container ends; from its beginning again where the file was cut."""
    waiter = select.poll()
    waiter.register(main, select.POLLIN)
    waiter.register(1, select.POLLERR | select.POLLHUP)
    while True:
        size = os.fstat(fd.fileno()).st_size
        position = 0 if size < position else position
        position += _copy(fd, position, size - position)
        events = {number for number, _ in waiter.poll(_LOOK_AGAIN_MS)}
        if 1 in events or (main in events and os.fstat(fd.fileno()).st_size == position):
            return


# --- write ---------------------------------------------------------------------------------------------------------------------------


def _write(root: paths.Root, task: Json) -> Json:
    """A new file in place of the old one, whose owner and mode it takes; all or nothing."""
    path = task["path"]
    head, _, name = path.rstrip("/").rpartition("/")
    if name in {"", ".", ".."}:
        raise Invalid(f"{path} names no file")
    with root.open_at(head or "/", os.O_RDONLY | os.O_DIRECTORY) as parent:
        if filesystems.magic(parent.fileno()) in filesystems.KERNEL:
            raise Invalid(f"{path} is on a file system of the kernel's: nothing is written there")
        owner, mode = (task["uid"], task["gid"]), task["mode"]
        old = _there(parent, name)
        _unchanged(old, path, task.get("expected", ""))
        if old is not None:
            if not stat.S_ISREG(old.st_mode):
                raise Invalid(f"{path} is a {_TYPES.get(stat.S_IFMT(old.st_mode), 'special file')}, not a regular file")
            owner, mode = (old.st_uid, old.st_gid), stat.S_IMODE(old.st_mode) & 0o777
        temporary = f".{name[:200]}.{os.getpid()}.polong"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with Fd(os.open(temporary, flags, 0o600, dir_fd=parent.fileno())) as fd:
                _fill(fd, path, task["most"])
                os.fchown(fd.fileno(), *owner)
                os.fchmod(fd.fileno(), mode)
                if old is not None:
                    _take_attributes(fd, parent, name)
                _unchanged(_there(parent, name), path, task.get("expected", ""))
                os.replace(temporary, name, src_dir_fd=parent.fileno(), dst_dir_fd=parent.fileno())
                return _described(path, os.fstat(fd.fileno()))
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=parent.fileno())
            raise


def _there(parent: Fd, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent.fileno(), follow_symlinks=False)
    except FileNotFoundError:
        return None


def _unchanged(found: os.stat_result | None, path: str, expected: str) -> None:
    """Refuses to replace what is no longer the version that the writer has read."""
    if expected and (found is None or _described(path, found)["version"] != expected):
        raise Conflict(f"{path} was changed by somebody else since it was read: nothing was written")


def _take_attributes(fd: Fd, parent: Fd, name: str) -> None:
    """Extended attributes of the file that is replaced; those that its file system does not let us set stay behind."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with suppress(OSError), Fd(os.open(name, flags, dir_fd=parent.fileno())) as old:
        for each in os.listxattr(old.fileno()):
            with suppress(OSError):
                os.setxattr(fd.fileno(), each, os.getxattr(old.fileno(), each))


def _fill(fd: Fd, path: str, most: int) -> None:
    """Pieces, each after its length in four bytes; the empty one says that all came. Without it nothing is put in place."""
    total = 0
    while length := int.from_bytes(_exactly(4, path), "big"):
        total += length
        if total > most:
            raise TooLarge(f"{path} would become larger than {most} bytes")
        while length:
            data = _exactly(min(length, _CHUNK), path)
            length -= len(data)
            view = memoryview(data)
            while view:
                view = view[os.write(fd.fileno(), view) :]


def _exactly(count: int, path: str) -> bytes:
    data = b""
    while len(data) < count:
        more = os.read(0, count - len(data))
        if not more:
            raise FailedPrecondition(f"what was to become {path} ended early: nothing was changed")
        data += more
    return data


_REFUSALS = {
    "ENOENT": (NotFound, "no such file or directory"),
    "ELOOP": (Invalid, "too many links, or a link of the kernel's (/proc/PID/root, /proc/PID/fd) that leaves the container"),
    "EXDEV": (Invalid, "it leaves the container's file system"),
    "ENOTDIR": (Invalid, "a part of the path is not a directory"),
}


def explain(error: OSError, path: str) -> PolongError:
    kind, text = _REFUSALS.get(errno.errorcode.get(error.errno or 0, ""), (FailedPrecondition, (error.strerror or str(error)).lower()))
    return kind(f"{path}: {text}")


def main() -> int:
    task = json.loads(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    try:
        run(task)
    except BrokenPipeError:
        return 0
    except PolongError as error:
        _say({"error": type(error).__name__, "message": error.message})
    except OSError as error:
        found = explain(error, task["path"])
        _say({"error": type(found).__name__, "message": found.message})
    return 0


if __name__ == "__main__":
    sys.exit(main())
