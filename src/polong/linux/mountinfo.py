"""The mount table: proc_pid_mountinfo(5) as values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One line. `root`: the part of the file system that is mounted; `device` is "major:minor"; `optional` such as ("shared:3",)."""

    id: int
    parent: int
    device: str
    root: str
    target: str
    options: tuple[str, ...]
    optional: tuple[str, ...]
    fstype: str
    source: str
    super_options: tuple[str, ...]


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def parse(text: str) -> list[Mount]:
    """In the kernel's order: later mounts lie above earlier ones. Lines that are not understood are passed by."""
    mounts: list[Mount] = []
    for line in text.split("\n"):
        before, separator, after = line.partition(" - ")
        head, tail = before.split(" "), after.split(" ")
        if not separator or len(head) < 6 or len(tail) < 3:
            continue
        mounts.append(
            Mount(
                id=int(head[0]),
                parent=int(head[1]),
                device=head[2],
                root=_plain(head[3]),
                target=_plain(head[4]),
                options=tuple(head[5].split(",")),
                optional=tuple(head[6:]),
                fstype=tail[0],
                source=_plain(tail[1]),
                super_options=tuple(tail[2].split(",")),
            )
        )
    return mounts


def read(pid: int | str = "self", proc: Path = Path("/proc")) -> list[Mount]:
    """The mounts that process sees. FileNotFoundError or ProcessLookupError where it is gone."""
    with (proc / str(pid) / "mountinfo").open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        return parse(file.read())
