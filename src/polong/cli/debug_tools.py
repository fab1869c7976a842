"""Images of debugging tools, made of what this machine has installed: a program, the libraries that its loader finds, its data.

So `debug --with` works without a network, and the tool is the one that the user knows. The image is imported once for each version.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from polong.cli.debug_recipes import Recipe
from polong.cli.errors import Failure

Json = dict[str, Any]

REPOSITORY = "polong.dev/debug"
IDLE = ("/usr/bin/sleep", "3600")
_SEARCH = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin")
_LEFT_OUT = frozenset({"__pycache__", "test", "tests", "dist-packages", "site-packages", "idlelib", "tkinter", "ensurepip", "pydoc_data"})
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_CHUNK = 1 << 20


def find(program: str) -> Path | None:
    """Beside our own interpreter (where pip puts it), else where programs are."""
    found = shutil.which(program, path=os.pathsep.join([str(Path(sys.executable).parent), *_SEARCH]))
    return Path(found) if found else None


class ToolImage:
    """One recipe's image: `name` says its contents, so that a new version of a tool is a new image."""

    def __init__(self, recipe: Recipe) -> None:
        self._members = dict(_members(_programs(recipe), recipe.trees))
        self.name = f"{REPOSITORY}/{recipe.programs[0]}:{_digest(self._members)[:16]}"

    def archive(self) -> Path:
        """A docker-save tar in a new temporary file, which the caller deletes."""
        fd, name = tempfile.mkstemp(prefix="polong-debug-", suffix=".tar")
        with os.fdopen(fd, "wb") as stream:
            try:
                self._write(stream)
            except BaseException:
                Path(name).unlink()
                raise
        return Path(name)

    def _write(self, stream: io.BufferedIOBase) -> None:
        with tempfile.TemporaryFile() as layer:
            with tarfile.open(fileobj=layer, mode="w", format=tarfile.PAX_FORMAT) as tar:
                self._fill(tar)
            size = layer.tell()
            layer.seek(0)
            digest = hashlib.sha256()
            while data := layer.read(_CHUNK):
                digest.update(data)
            layer.seek(0)
            configuration = json.dumps(_configuration(digest.hexdigest())).encode()
            manifest = json.dumps([{"Config": "config.json", "RepoTags": [self.name], "Layers": ["layer.tar"]}]).encode()
            with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                for name, content in (("config.json", configuration), ("manifest.json", manifest)):
                    tar.addfile(_info(name, 0o644, len(content)), io.BytesIO(content))
                tar.addfile(_info("layer.tar", 0o644, size), layer)

    def _fill(self, tar: tarfile.TarFile) -> None:
        made: set[str] = set()
        for name in ("tmp", "root", "proc", "dev", "sys", "etc"):
            _directory(tar, name, made, 0o1777 if name == "tmp" else 0o755)
        for content, name in ((b"root:x:0:0:root:/root:/bin/sh\n", "etc/passwd"), (b"root:x:0:\n", "etc/group")):
            tar.addfile(_info(name, 0o644, len(content)), io.BytesIO(content))
        for target, source in sorted(self._members.items()):
            name = target.lstrip("/")
            for parent in reversed(Path(name).parents[:-1]):
                _directory(tar, str(parent), made, 0o755)
            with source.open("rb") as file:
                status = os.fstat(file.fileno())
                tar.addfile(_info(name, 0o755 if status.st_mode & 0o111 else 0o644, status.st_size), file)


def _programs(recipe: Recipe) -> dict[str, Path]:
    """Path in the image -> file of this machine."""
    found = {"/usr/bin/sleep": _required("sleep", "coreutils")}
    for program in recipe.programs:
        found[f"/usr/bin/{program}"] = _required(program, recipe.package)
    return found


def _required(program: str, package: str) -> Path:
    found = find(program)
    if found is None:
        raise Failure(f"{program} is not on this machine: install {package}, or give an image that has it with --image")
    return found.resolve()


def _members(programs: Mapping[str, Path], trees: Iterable[str]) -> Iterator[tuple[str, Path]]:
    extensions = []
    for name in trees:
        for path in _files(Path(name)):
            yield str(path), path
            if ".so" in path.name:
                extensions.append(path)
    yield from programs.items()
    for path in [*programs.values(), *extensions]:
        for library in _libraries(path):
            yield str(library), library.resolve()


def _files(top: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(top):
        names[:] = sorted(each for each in names if each not in _LEFT_OUT and not each.startswith("config-"))
        for name in sorted(files):
            path = Path(directory, name)
            if path.is_file():
                yield path


def _libraries(program: Path) -> Iterator[Path]:
    """What ld.so(8) would load, and ld.so itself; nothing for a static program."""
    loader = _interpreter(program)
    if loader is None and ".so" not in program.name:
        return
    loader = loader or _interpreter(Path(sys.executable).resolve()) or Path("/lib64/ld-linux-x86-64.so.2")
    done = subprocess.run([loader, "--list", program], capture_output=True, text=True, timeout=20, check=False, env={"LC_ALL": "C"})
    yield loader
    for line in done.stdout.splitlines():
        _, arrow, rest = line.partition(" => ")
        path = rest.split(" (")[0].strip() if arrow else ""
        if path.startswith("/"):
            # A library may be found relative to its program: `bin/../lib`.
            yield Path(os.path.normpath(path))


def _interpreter(program: Path) -> Path | None:
    """PT_INTERP of a 64-bit ELF file."""
    content = program.read_bytes()[:4096]
    if content[:6] != b"\x7fELF\x02\x01":
        return None
    offset, count = int.from_bytes(content[32:40], "little"), int.from_bytes(content[56:58], "little")
    for index in range(count):
        header = content[offset + 56 * index : offset + 56 * (index + 1)]
        if int.from_bytes(header[:4], "little") == 3:
            start, size = int.from_bytes(header[8:16], "little"), int.from_bytes(header[32:40], "little")
            return Path(content[start : start + size].rstrip(b"\0").decode())
    return None


def _digest(members: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for target, source in sorted(members.items()):
        status = source.stat()
        digest.update(f"{target} {source} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _configuration(layer: str) -> Json:
    return {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Cmd": list(IDLE), "Env": ["PATH=/usr/bin:/bin", "HOME=/root", "TERM=dumb"], "User": "0:0"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
    }


def _info(name: str, mode: int, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.size = mode, size
    return info


def _directory(tar: tarfile.TarFile, name: str, made: set[str], mode: int) -> None:
    if name not in made:
        made.add(name)
        info = _info(name, mode, 0)
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
