"""Mounts as values: a plan can be logged, compared and tested without root; `execute` does it.

Unmounting goes by what was recorded and is found again in the mount table, never by a name alone, and never follows a link.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from polong.linux import mountinfo, syscalls
from polong.linux.flags import MNT, MS


class Operation(Protocol):
    """One step of a mount plan."""

    def describe(self) -> str: ...

    def execute(self) -> None:
        """OSError with the path where the kernel refuses."""
        ...


@dataclass(frozen=True)
class Bind:
    """A bind mount, of the tree below where `recursive`."""

    source: str
    target: str
    recursive: bool = False
    readonly: bool = False

    def describe(self) -> str:
        return f"bind {self.source} on {self.target}" + (" read-only" if self.readonly else "")

    def execute(self) -> None:
        recursive = MS.REC if self.recursive else MS(0)
        syscalls.mount(self.source, self.target, flags=MS.BIND | recursive)
        syscalls.mount("", self.target, flags=MS.PRIVATE | recursive)
        if self.readonly:
            # A bind mount takes its flags only by a second call.
            syscalls.mount("", self.target, flags=MS.BIND | MS.REMOUNT | MS.RDONLY)


@dataclass(frozen=True)
class Tmpfs:
    """`size` in bytes, None is half of the memory."""

    target: str
    size: int | None = None
    mode: int = 0o755
    flags: int = MS.NOSUID | MS.NODEV
    source: str = "tmpfs"

    def describe(self) -> str:
        return f"tmpfs on {self.target}" + (f" of {self.size} bytes" if self.size is not None else "")

    def execute(self) -> None:
        data = [f"mode={self.mode:o}"] + ([f"size={self.size}"] if self.size is not None else [])
        syscalls.mount(self.source, self.target, "tmpfs", self.flags, ",".join(data))


@dataclass(frozen=True)
class Overlay:
    """overlayfs; `lower` from the top down; `upper` and `work` empty for one that cannot be written to. Paths may hold neither colon
    nor comma."""

    lower: tuple[str, ...]
    upper: str
    work: str
    target: str
    options: tuple[str, ...] = ()

    def describe(self) -> str:
        return f"overlay of {len(self.lower)} layers on {self.target}"

    def execute(self) -> None:
        for path in (*self.lower, self.upper, self.work):
            if set(path) & set(":,\\"):
                raise ValueError(f"overlayfs cannot take the path {path!r}")
        writable = [f"upperdir={self.upper}", f"workdir={self.work}"] if self.upper else []
        words = [f"lowerdir={':'.join(self.lower)}", *writable, *self.options]
        syscalls.mount("overlay", self.target, "overlay", 0 if self.upper else MS.RDONLY, ",".join(words))


def execute(plan: Iterable[Operation]) -> None:
    """Each in turn; where one fails, those before it are undone."""
    done: list[Operation] = []
    for operation in plan:
        try:
            operation.execute()
        except OSError:
            for earlier in reversed(done):
                target = getattr(earlier, "target", None)
                if target is not None:
                    with suppress(OSError):
                        syscalls.umount2(target, MNT.DETACH)
            raise
        done.append(operation)


def below(directory: Path) -> list[mountinfo.Mount]:
    """Mounts at or below a directory, deepest (latest) first: the order to unmount them in."""
    return list(reversed(mountinfo.below(directory)))


def unmount(mount: mountinfo.Mount, *, detach: bool = True) -> bool:
    """Unmount exactly `mount`: False where its target now carries something else (or nothing), which is then left alone."""
    top = [found for found in mountinfo.below(Path(mount.target)) if found.target == mount.target]
    if not top or top[-1].id != mount.id:
        return False
    syscalls.umount2(mount.target, MNT.DETACH if detach else 0)
    return True


def unmount_below(directory: Path) -> int:
    """Lazily unmount all at or below a directory of the engine's own; how many. Idempotent."""
    count = 0
    for mount in below(directory):
        count += unmount(mount)
    return count
