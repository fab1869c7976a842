"""The root file system of every sandbox's own process: /pause and empty directories to mount on. Shared, and read-only to all."""

from __future__ import annotations

from pathlib import Path

_DIRECTORIES = ("dev", "etc", "proc", "run", "sys", "tmp")


def path(directory: Path) -> Path:
    return directory / "pause"


def make(directory: Path, binary: Path) -> None:
    """Idempotent. A running /pause of an older build keeps its file: the new one is renamed over it."""
    root = path(directory)
    for name in _DIRECTORIES:
        (root / name).mkdir(mode=0o755, parents=True, exist_ok=True)
    program, wanted = root / "pause", binary.read_bytes()
    if program.exists() and program.read_bytes() == wanted:
        return
    temporary = root / "pause.new"
    temporary.write_bytes(wanted)
    temporary.chmod(0o755)
    temporary.rename(program)
