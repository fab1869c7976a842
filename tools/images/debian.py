"""Debian packages as a source of files: downloaded by apt into a cache of the build, read, never installed."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tools.images import elf

_LIBRARY_DIRECTORIES = ("lib", "usr/lib", "lib64", "usr/lib64")


class BuildError(Exception):
    """One line for the user."""


def architecture() -> str:
    """The host's architecture in Debian's words, which are OCI's for amd64 and arm64."""
    return _run(["dpkg", "--print-architecture"]).decode().strip()


class Packages:
    """The files of some packages, by path without leading slash."""

    def __init__(self, cache: Path, names: Sequence[str]) -> None:
        self._files: dict[str, tarfile.TarInfo] = {}
        self._content: dict[str, bytes] = {}
        self.versions: dict[str, str] = {}
        for deb in download(cache, names):
            name, version = deb.name.split("_")[:2]
            self.versions[name] = version.replace("%3a", ":")
            with tarfile.open(fileobj=io.BytesIO(_run(["dpkg-deb", "--fsys-tarfile", str(deb)]))) as tar:
                for member in tar:
                    path = member.name.removeprefix("./").rstrip("/")
                    self._files[path] = member
                    if member.isreg():
                        extracted = tar.extractfile(member)
                        self._content[path] = extracted.read() if extracted else b""

    def read(self, path: str) -> bytes:
        """The content of a file; links among the packages' files are followed."""
        for _ in range(8):
            member = self._files.get(path)
            if member is None:
                raise BuildError(f"no Debian package of this image holds /{path}")
            if not member.issym():
                return self._content[path]
            path = os.path.normpath(
                member.linkname.lstrip("/") if member.linkname.startswith("/") else f"{Path(path).parent}/{member.linkname}"
            )
        raise BuildError(f"too many links at /{path}")

    def libraries(self, programs: Iterable[str]) -> dict[str, bytes]:
        """Path to content of all that the dynamic linker needs for these programs, the linker itself included."""
        found: dict[str, bytes] = {}
        todo = [self.read(path) for path in programs]
        while todo:
            needed = elf.needs(todo.pop())
            paths = [self._find_library(soname) for soname in needed.libraries]
            for path in [*paths, *([needed.interpreter.lstrip("/")] if needed.interpreter else [])]:
                if path not in found:
                    found[path] = self.read(path)
                    todo.append(found[path])
        return found

    def _find_library(self, soname: str) -> str:
        for path in self._files:
            parent, _, name = path.rpartition("/")
            if name == soname and parent.startswith(_LIBRARY_DIRECTORIES):
                return path
        raise BuildError(f"no Debian package of this image holds {soname}")


def download(cache: Path, names: Sequence[str]) -> list[Path]:
    """The newest .deb of each package, from the cache where it is there."""
    cache.mkdir(parents=True, exist_ok=True)
    missing = [name for name in names if not list(cache.glob(f"{name}_*.deb"))]
    if missing:
        command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *missing]
        try:
            _run(command, cwd=cache)
        except BuildError:
            if os.geteuid() != 0:
                raise
            _run(["apt-get", "-q", "update"])
            _run(command, cwd=cache)
    return [max(cache.glob(f"{name}_*.deb"), key=lambda path: path.stat().st_mtime_ns) for name in names]


def _run(command: Sequence[str], cwd: Path | None = None) -> bytes:
    try:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
    except FileNotFoundError:
        raise BuildError(f"cannot build images: no {command[0]} on this host (Debian or a descendant is needed)") from None
    except subprocess.TimeoutExpired:
        raise BuildError(f"cannot build images: {' '.join(command[:4])} took longer than 300 s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise BuildError(f"cannot build images: {' '.join(command)}: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout
