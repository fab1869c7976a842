"""The machine's disk: Debian by mmdebstrap (kept between runs), this checkout with its virtual environment's packages, and an init."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
HERE = REPO / "build" / "vm"
INSIDE = "opt/polong"
SUITE = "bookworm"
_GIGABYTES = 9
_SYSTEM = ("linux-image-cloud-amd64", "python3", "procps", "kmod", "gcc", "git", "apparmor")
_LEFT = {".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".hypothesis", ".pytest_cache", "vm"}


@dataclass(frozen=True)
class Disk:
    image: Path
    kernel: Path
    initrd: Path


def packages() -> list[str]:
    """What a node and its tests need, as tools/setup.sh has it, and a system to boot."""
    text = (REPO / "tools" / "setup.sh").read_text()
    listed = [name for line in re.findall(r"^(?:runtime|test)=\((.*)\)$", text, re.MULTILINE) for name in line.split()]
    return [*listed, *_SYSTEM]


def build(init: str) -> Disk:
    """`init` is the script that is PID 1. What is there of an earlier run is used again, but for the checkout."""
    root, image = HERE / "root", HERE / "disk.img"
    _system(root)
    _checkout(root / INSIDE)
    script = root / "init.sh"
    script.write_text(init)
    script.chmod(0o755)
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(_GIGABYTES << 30)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(root), str(image)], check=True)
    boot = root / "boot"
    return Disk(image, next(boot.glob("vmlinuz-*")), next(boot.glob("initrd.img-*")))


def _system(root: Path) -> None:
    wanted = packages()
    stamp = HERE / "packages"
    if stamp.exists() and stamp.read_text().split() == wanted:
        return
    shutil.rmtree(root, ignore_errors=True)
    HERE.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    print(f"vm: making a system of {len(wanted)} packages, once", flush=True)
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(wanted)}", SUITE, str(root)], check=True)
    stamp.write_text("\n".join(wanted))


def _checkout(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(REPO, target, symlinks=True, ignore=lambda _, names: _LEFT & set(names))
    # The packages alone: the interpreter is the machine's own.
    own = next((REPO / ".venv" / "lib").glob("python3.*")) / "site-packages"
    shutil.copytree(own, target / ".site", symlinks=True, ignore=lambda _, names: {"__pycache__"} & set(names))
    # By .pth, which an interpreter heeds that was told to heed no variables.
    found = target.parents[1] / "usr" / "lib" / "python3" / "dist-packages" / "polong.pth"
    found.write_text("".join(f"/{INSIDE}/{each}\n" for each in ("src", ".site")))
    # Where the tests look for it: beside the interpreter.
    program = target.parents[1] / "usr" / "bin" / "polong"
    program.write_text("#!/usr/bin/python3\nfrom polong.__main__ import main\nmain()\n")
    program.chmod(0o755)
    # Emulated, to compile what is imported takes minutes.
    compiled = ["python3", "-m", "compileall", "-q", *(f"/{INSIDE}/{each}" for each in ("src", "tests", "tools", ".site"))]
    subprocess.run(["chroot", str(target.parents[1]), *compiled], check=False, stdout=subprocess.DEVNULL)
