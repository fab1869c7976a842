"""The process that looks at one path of a container: `python -I -m polong.kubelet.host.fileworker`, its task as JSON in its argument.

It never enters the container: it stays in the node's namespaces and walks from the descriptor of the container's root, beneath which the
kernel resolves every path (openat2). Being a process of its own, it can be killed whatever a file system there does to it. Its answer is
one line of JSON, and after it, for `read` and `archive`, the bytes.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import select
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from polong.kit.errors import FailedPrecondition, Invalid, NotFound, PolongError, TooLarge
from polong.kubelet.host import filetree, filewrite
from polong.kubelet.host.filewrite import New
from polong.linux import credentials, filesystems, paths
from polong.linux.fds import Fd

Json = dict[str, Any]

MOST_ENTRIES = 10_000
_CHUNK = 256 * 1024
_MEMORY = 512 << 20
_TAIL_BYTES = 8 << 20
_LOOK_AGAIN_MS = 250
_OVERFLOW = 65534


def run(task: Json) -> None:
    """`task`: {root, main, op, path, uids, gids} and what the operation takes; `root` and `main` (a pidfd) are descriptors, `uids` and
    `gids` the maps of the container's user namespace. Writes the answer."""
    with paths.Root(Fd(task["root"])) as root:
        if task["op"] in _WRITES:
            if (task["uid"], task["gid"]) != (os.geteuid(), os.getegid()):
                credentials.make_files_as(task["uid"], task["gid"])
            _say(_WRITES[task["op"]](root, task))
            return
        with root.open_at(task["path"]) as found:
            match task["op"]:
                case "stat":
                    _say(_described(task["path"], os.fstat(found.fileno()), task))
                case "list":
                    _say({**_described(task["path"], os.fstat(found.fileno()), task), **_entries(found, task)})
                case "archive":
                    _archive(found, task)
                case "read":
                    _read(root, found, task)


def _say(answer: Json) -> None:
    _put(json.dumps(answer).encode() + b"\n")


def _put(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def _described(name: str, found: os.stat_result, task: Json) -> Json:
    return {
        "name": _name(name),
        "type": filewrite.kind(found.st_mode),
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "uid": _inside(task, "uids", found.st_uid),
        "gid": _inside(task, "gids", found.st_gid),
        "sizeBytes": found.st_size,
        "modified": int(found.st_mtime),
        "version": filewrite.version(found),
    }


def _inside(task: Json, name: str, outside: int) -> int:
    """An id as the container counts: user_namespaces(7) shows those that it does not have as the overflow id."""
    for first, base, count in task[name]:
        if base <= outside < base + count:
            return int(first + outside - base)
    return _OVERFLOW


def _entries(directory: Fd, task: Json) -> Json:
    """At most MOST_ENTRIES, sorted; `truncated` where there are more. A name that is no UTF-8 has its bytes written as escapes."""
    path = task["path"]
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
                item = _described(entry.name, entry.stat(follow_symlinks=False), task)
                if item["type"] == "link":
                    item["target"] = _name(os.readlink(entry.name, dir_fd=fd.fileno()))
            except FileNotFoundError:
                continue
            items.append(item)
    return {"items": sorted(items, key=lambda item: str(item["name"])), "truncated": truncated}


def _name(raw: str) -> str:
    return os.fsencode(raw).decode("utf-8", "backslashreplace")


def _archive(found: Fd, task: Json) -> None:
    about = os.fstat(found.fileno())
    if not stat.S_ISDIR(about.st_mode):
        raise Invalid(f"{task['path']} is a {filewrite.kind(about.st_mode)}, not a directory")
    if filesystems.magic(found.fileno()) in filesystems.KERNEL:
        raise Invalid(f"{task['path']} is a directory of the kernel's, not of the container's")
    with Fd(os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=found.fileno())) as top:
        _say(_described(task["path"], about, task))
        with os.fdopen(os.dup(1), "wb", _CHUNK) as out:
            filetree.Archive(out.write, task["most"], lambda name, number: _inside(task, name, number)).write(top)


def _regular(found: Fd, path: str) -> os.stat_result:
    """Refuses what would block, never end, or act when it is opened."""
    about = os.fstat(found.fileno())
    if not stat.S_ISREG(about.st_mode):
        raise Invalid(f"{path} is a {filewrite.kind(about.st_mode)}, not a regular file")
    if filesystems.magic(found.fileno()) in filesystems.KERNEL:
        raise Invalid(f"{path} is a file of the kernel's, not of the container's: read it from inside, with exec")
    return about


# --- read ----------------------------------------------------------------------------------------------------------------------------


def _read(root: paths.Root, found: Fd, task: Json) -> None:
    path = task["path"]
    about = _regular(found, path)
    with _reopened(found) as fd:
        start = min(task.get("offset", 0), about.st_size)
        if task.get("tail") is not None:
            start = _tail(fd, about.st_size, task["tail"])
        length = about.st_size - start
        most = task["most"]
        if task.get("limit") is not None:
            length = min(length, task["limit"])
        if length > most:
            raise TooLarge(f"{path} has {length} bytes to read; the most is {most}: read it in parts, by offset and limit")
        _say(_described(path, about, task))
        done = _copy(fd, start, length)
        if task.get("follow"):
            _follow(root, path, fd, start + done, task["main"])


def _reopened(found: Fd) -> Fd:
    """To be read: the same file, not the same name, which may be another file's by now."""
    return Fd(os.open(f"/proc/self/fd/{found.fileno()}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))


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


def _follow(root: paths.Root, path: str, fd: Fd, position: int, main: int) -> None:
    """What is added, until the container ends; from its beginning again where the file was cut, and on in the next one where the name
    is another file's now: a log that was put aside."""
    waiter = select.poll()
    waiter.register(main, select.POLLIN)
    waiter.register(1, select.POLLERR | select.POLLHUP)
    current = fd
    try:
        while True:
            # Looked for before what is left is read: nothing is added any more to a file that was put aside and replaced.
            following = _successor(root, path, current)
            size = os.fstat(current.fileno()).st_size
            position = 0 if size < position else position
            position += _copy(current, position, size - position)
            if following is not None:
                if current is not fd:
                    current.close()
                current, position = following, 0
                continue
            events = {number for number, _ in waiter.poll(_LOOK_AGAIN_MS)}
            if 1 in events or (main in events and os.fstat(current.fileno()).st_size == position):
                return
    finally:
        if current is not fd:
            current.close()


def _successor(root: paths.Root, path: str, current: Fd) -> Fd | None:
    """The file that has the name now, where that is another one than `current`, and one that can be read."""
    try:
        with root.open_at(path) as found:
            now, before = _regular(found, path), os.fstat(current.fileno())
            return None if (now.st_dev, now.st_ino) == (before.st_dev, before.st_ino) else _reopened(found)
    except (OSError, PolongError):
        return None


# --- write ---------------------------------------------------------------------------------------------------------------------------


def _write(root: paths.Root, task: Json) -> Json:
    """A new file in place of the old one, whose owner and mode it takes; all or nothing."""
    path = task["path"]
    head, _, name = path.rstrip("/").rpartition("/")
    if name in {"", ".", ".."}:
        raise Invalid(f"{path} names no file")
    with root.open_at(head or "/", os.O_RDONLY | os.O_DIRECTORY) as parent:
        filewrite.refuse_kernel(parent, path)
        new = New(task["uid"], task["gid"], task["mode"], task.get("expected", ""))

        def fill(fd: Fd) -> None:
            total = 0
            for data in _pieces(path):
                total += len(data)
                if total > task["most"]:
                    raise TooLarge(f"{path} would become larger than {task['most']} bytes")
                filetree.write_all(fd, data)

        return _described(path, filewrite.put(filewrite.Place(parent, name, path), new, fill), task)


def _extract(root: paths.Root, task: Json) -> Json:
    """A tree of an archive into a directory that is there, or into a new one; see `filetree.Extraction`."""
    path = task["path"]
    with _top(root, path, task) as (top, fresh):
        filewrite.refuse_kernel(top, path)
        tree = filetree.Extraction(top, path, task["uid"], task["gid"], task["most"], fresh)
        try:
            tree.run(_pieces(path))
        except PolongError as error:
            raise type(error)(f"{error.message}{_so_far(tree)}") from None
        except OSError as error:
            raise FailedPrecondition(f"{path}: {(error.strerror or str(error)).lower()}{_so_far(tree)}") from None
        counts = {"entries": tree.entries, "bytes": tree.written, "leftOut": tree.left_out[:MOST_ENTRIES]}
        return {**_described(path, os.fstat(top.fileno()), task), **counts}


def _so_far(tree: filetree.Extraction) -> str:
    return f"; {tree.entries} files and directories were written before" if tree.entries else "; nothing was written"


@contextmanager
def _top(root: paths.Root, path: str, task: Json) -> Iterator[tuple[Fd, bool]]:
    """Opened once; links on the way are the container's own, and were named by whoever asks. A new one that fills with nothing goes."""
    flags = os.O_RDONLY | os.O_DIRECTORY
    try:
        with root.open_at(path, flags) as found:
            yield found, False
            return
    except FileNotFoundError:
        head, _, name = path.rstrip("/").rpartition("/")
        if name in {"", ".", ".."}:
            raise
    with root.open_at(head or "/", flags) as parent:
        filewrite.refuse_kernel(parent, path)
        top, fresh = filewrite.directory(filewrite.Place(parent, name, path), New(task["uid"], task["gid"], 0o755))
        with top:
            try:
                yield top, fresh
            except BaseException:
                if fresh:
                    with suppress(OSError):
                        os.rmdir(name, dir_fd=parent.fileno())
                raise


def _pieces(path: str) -> Iterator[bytes]:
    """Each comes after its length in four bytes; the empty one says that all came. Without it nothing is put in place."""
    while length := int.from_bytes(_exactly(4, path), "big"):
        yield _exactly(length, path)


def _exactly(count: int, path: str) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = os.read(0, count - len(data))
        if not more:
            raise FailedPrecondition(f"what was to become {path} ended early: nothing was changed")
        data += more
    return bytes(data)


_REFUSALS = {
    "ENOENT": (NotFound, "no such file or directory"),
    "ELOOP": (Invalid, "too many links, or a link of the kernel's (/proc/PID/root, /proc/PID/fd) that leaves the container"),
    "EXDEV": (Invalid, "it leaves the container's file system"),
    "ENOTDIR": (Invalid, "a part of the path is not a directory"),
}


def explain(error: OSError, path: str) -> PolongError:
    kind, text = _REFUSALS.get(errno.errorcode.get(error.errno or 0, ""), (FailedPrecondition, (error.strerror or str(error)).lower()))
    return kind(f"{path}: {text}")


def _refuse(error: PolongError) -> None:
    _say({"error": type(error).__name__, "message": _name(error.message)})


_WRITES = {"write": _write, "extract": _extract}


def main() -> int:
    task = json.loads(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    try:
        run(task)
    except BrokenPipeError:
        return 0
    except PolongError as error:
        _refuse(error)
    except OSError as error:
        _refuse(explain(error, task["path"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
