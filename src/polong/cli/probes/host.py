"""The machine as probes see it: files under a root, programs on a path, and three questions that files cannot answer."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEADLINE = 5


@dataclass(frozen=True)
class Finding:
    """`found` is what is there; for warn and fail `means` says what follows from it and `mend` what to do."""

    name: str
    level: Literal["ok", "warn", "fail"]
    found: str
    means: str = ""
    mend: str = ""


def _first_line(argv: list[str]) -> str | None:
    """First line of a program's output; None where it cannot be run in a few seconds."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_DEADLINE, check=False, start_new_session=True)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").partition("\n")[0].strip() if done.returncode == 0 else None


def _connect(host: str, port: int) -> str:
    """Empty where a connection succeeds within a few seconds, else why not."""
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError as error:
        return str(error.strerror or error)
    return ""


def _free(path: Path) -> tuple[int, int]:
    """Free bytes and free inodes for root."""
    found = os.statvfs(path)
    return found.f_bfree * found.f_frsize, found.f_ffree


@dataclass(frozen=True)
class Host:
    """`root` stands for /; `state` is the node's directory; the callables are replaced in tests."""

    root: Path = Path("/")
    state: Path = Path("/var/lib/polong")
    runtime: str = "crun"
    port: int = 6443
    running: bool = False
    euid: int = field(default_factory=os.geteuid)
    search: str = field(default_factory=lambda: os.environ.get("PATH", "") + ":" + _SEARCH)
    first_line: Callable[[list[str]], str | None] = _first_line
    connect: Callable[[str, int], str] = _connect
    free: Callable[[Path], tuple[int, int]] = _free

    def path(self, absolute: str) -> Path:
        return self.root / absolute.lstrip("/")

    def read(self, absolute: str) -> str | None:
        """Text of a file, stripped; None where it cannot be read."""
        try:
            return self.path(absolute).read_text(errors="replace").strip()
        except OSError:
            return None

    def exists(self, absolute: str) -> bool:
        return self.path(absolute).exists()

    def which(self, name: str) -> str | None:
        """Path of a program, looked for under `root`."""
        if "/" in name:
            return name if os.access(self.path(name), os.X_OK) else None
        places = os.pathsep.join(str(self.path(part)) for part in self.search.split(":") if part)
        return shutil.which(name, path=places)

    def capable(self, number: int) -> bool:
        """Whether capability `number` (capabilities(7)) is effective for this process."""
        for line in (self.read("/proc/self/status") or "").splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> number & 1)
        return False
