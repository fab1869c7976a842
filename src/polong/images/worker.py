"""The process that unpacks one layer: `python -I -m polong.images.worker`, its task as JSON on stdin, its verdict as JSON on stdout.

It is killable and holds no secret. Before the first byte of the layer is looked at it leaves for its own mount, network and IPC
namespaces and changes its root to the layer's directory: even a hole in the parser could reach nothing else by path.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import sys
from dataclasses import dataclass
from importlib.machinery import BuiltinImporter, FrozenImporter
from typing import Any

from polong.images import compression
from polong.images.unpack import NeedsLower, Unpacker
from polong.kit.errors import Invalid, PolongError
from polong.kit.tarstream import TarParser
from polong.linux import syscalls
from polong.linux.fds import Fd
from polong.linux.flags import CLONE, MS
from polong.linux.paths import Root

_CHUNK = 1 << 20
_MEMORY = 1 << 30
_FREE_FLOOR = 64 << 20
_FREE_EVERY = 64 << 20


@dataclass(frozen=True)
class Task:
    """Descriptors are numbers in the worker; `lowers` None: not there yet, ask for them when needed. `limit` bounds the unpacked bytes,
    `seconds` the processor time."""

    blob: int
    directory: int
    lowers: tuple[int, ...] | None
    compression: str
    diff_id: str
    limit: int
    seconds: int


def run(task: Task) -> dict[str, Any]:
    """Unpack and verify; what was written. Raises PolongError, OSError."""
    hashed = hashlib.sha256()
    parser = TarParser()
    stream = compression.decompressor(task.compression)
    ratio = compression.Ratio(task.limit)
    unpacker = Unpacker(Root(Fd(task.directory)), None if task.lowers is None else [Root(Fd(lower)) for lower in task.lowers])
    checked = 0
    try:
        while data := os.read(task.blob, _CHUNK):
            ratio.taken += len(data)
            for piece in stream.feed(data):
                ratio.count(len(piece))
                hashed.update(piece)
                for event in parser.feed(piece):
                    unpacker.take(event)
                if ratio.given - checked > _FREE_EVERY:
                    checked = ratio.given
                    _require_space(task.directory)
        stream.finish()
        parser.finish()
        unpacker.finish()
    finally:
        unpacker.close()
    found = f"sha256:{hashed.hexdigest()}"
    if found != task.diff_id:
        raise Invalid(f"layer does not match the image's configuration: expected diff ID {task.diff_id}, found {found}")
    totals = unpacker.totals
    return {"bytes": totals.bytes, "inodes": totals.inodes, "skipped_devices": totals.skipped_devices}


def confine(task: Task) -> None:
    """Own namespaces, the layer as root directory, bounded memory and processor time."""
    forget_imports()
    syscalls.unshare(CLONE.NEWNS | CLONE.NEWNET | CLONE.NEWIPC)
    syscalls.mount("", "/", flags=MS.PRIVATE | MS.REC)
    os.fchdir(task.directory)
    os.chroot(".")
    os.chdir("/")
    os.umask(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (task.seconds, task.seconds))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def forget_imports() -> None:
    """From now on no module comes from a file: behind the new root those files are the layer's."""
    "".encode("unicode_escape")
    sys.path.clear()
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter]
    sys.path_importer_cache.clear()


def _require_space(directory: int) -> None:
    status = os.fstatvfs(directory)
    if status.f_bavail * status.f_frsize < _FREE_FLOOR:
        raise OSError(28, "No space left on device")


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    given = json.load(sys.stdin)
    task = Task(**given)
    try:
        confine(task)
        verdict = run(task)
    except NeedsLower:
        verdict = {"needs_lower": True}
    except PolongError as error:
        verdict = {"error": type(error).__name__, "message": error.message}
    except MemoryError:
        verdict = {"error": "TooLarge", "message": "layer needs too much memory to unpack"}
    except OSError as error:
        verdict = {
            "error": "Internal",
            "message": f"cannot unpack layer: {error.strerror}" + (f": {error.filename}" if error.filename else ""),
        }
    print(json.dumps(verdict), flush=True)  # noqa: T201 - the answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
