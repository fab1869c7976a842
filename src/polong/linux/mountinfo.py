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
    return parse(_text(pid, proc))


def below(directory: Path, proc: Path = Path("/proc")) -> list[Mount]:
    """Our own mounts at or below a directory, in the kernel's order. Only their lines are parsed: a node has some for every container."""
    prefix = str(directory).rstrip("/")
    # The kernel writes space, tab, newline and backslash as octal numbers.
    written = re.sub(r"[ \t\n\\]", lambda match: f"\\{ord(match[0]):03o}", prefix)
    lines = [line for line in _text("self", proc).split("\n") if written in line]
    return [mount for mount in parse("\n".join(lines)) if mount.target == prefix or mount.target.startswith(prefix + "/")]


def _text(pid: int | str, proc: Path) -> str:
    with (proc / str(pid) / "mountinfo").open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        return file.read()
