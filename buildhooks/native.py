"""Compiles the C programs of the package, each from csrc/ into bin/ of the package that uses it (see their sources).

Static and without a C library: they run in any root file system. A compiler is needed to build, never to run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PROGRAMS = {"pause": "oci", "joiner": "oci", "attempt": "oci", "dumpable": "linux"}
"""Name, and the package below polong."""

_HEADERS = "src/polong/oci/csrc"
_FLAGS = [
    *("-std=gnu11", "-Os", "-Wall", "-Wextra", "-Werror"),
    *("-nostdlib", "-static", "-ffreestanding", "-fno-stack-protector", "-fno-pie", "-no-pie", "-fno-asynchronous-unwind-tables"),
    # One page of code and data: the resident size of every /pause.
    *("-s", "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,-z,norelro", "-Wl,-z,noseparate-code"),
]


def build(root: Path) -> list[Path]:
    """Compile below `root`; the programs' paths. RuntimeError (one line) without a compiler or where it fails."""
    made: list[Path] = []
    for name, package in PROGRAMS.items():
        source = root / "src/polong" / package / "csrc" / f"{name}.c"
        program = root / "src/polong" / package / "bin" / name
        program.parent.mkdir(exist_ok=True)
        sources = [source, root / _HEADERS / "raw.h", root / "src/polong/__init__.py", Path(__file__)]
        if not program.exists() or program.stat().st_mtime < max(path.stat().st_mtime for path in sources if path.exists()):
            _compile(source, program, root)
        made.append(program)
    return made


def platform_tag() -> str:
    """The wheel's platform, such as linux_x86_64."""
    return re.sub(r"[^a-z0-9_]", "_", sysconfig.get_platform().lower())


def _compile(source: Path, program: Path, root: Path) -> None:
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise RuntimeError("a C compiler is needed to build polong: install gcc (apt-get install gcc), or set CC")
    temporary = program.with_suffix(".new")
    command = [*compiler.split(), *_FLAGS, f'-DVERSION="{_version(root)}"', f"-I{root / _HEADERS}", "-o", str(temporary), str(source)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        temporary.unlink(missing_ok=True)
        raise RuntimeError(f"cannot compile {source.name}: {result.stderr.strip() or 'the compiler said nothing'}")
    temporary.chmod(0o755)
    # Renamed into place: a running node may be executing the old one.
    temporary.replace(program)


def _version(root: Path) -> str:
    match = re.search(r'^version\s*=\s*"([^"]+)"', (root / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    return match[1] if match else "unknown"


if __name__ == "__main__":
    for path in build(Path(__file__).resolve().parent.parent):
        sys.stdout.write(f"{path}\n")
