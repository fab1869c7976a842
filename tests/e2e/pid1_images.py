"""Images whose entry points think that they are PID 1, from Debian's own packages: systemd, runit, tini, dumb-init."""

from __future__ import annotations

from pathlib import Path

from tools.images import archive, debian
from tools.images.debian import Packages
from tools.images.tree import Tree

_BASE = ("busybox", "libc6")
_SYSTEMD = (
    *("systemd", "libsystemd-shared", "libsystemd0", "libacl1", "libaudit1", "libblkid1", "libcap2", "libcap-ng0", "libcrypt1"),
    *("libgcrypt20", "libgpg-error0", "libip4tc2", "libkmod2", "liblz4-1", "liblzma5", "libmount1", "libpam0g", "libpcre2-8-0"),
    *("libseccomp2", "libselinux1", "libssl3", "libzstd1", "libapparmor1"),
)
IMAGES = {
    "systemd": (_SYSTEMD, ("lib/systemd/systemd",), ["/lib/systemd/systemd"], []),
    "runit": (("runit",), ("sbin/runit",), ["/sbin/runit"], []),
    "tini": (("tini",), ("usr/bin/tini",), ["/usr/bin/tini", "--"], ["sh", "-c", "sleep 0.5; exit 3"]),
    "dumb-init": (("dumb-init",), ("usr/bin/dumb-init",), ["/usr/bin/dumb-init", "--"], ["sleep", "1000"]),
}
"""Name -> packages beside the base, their programs, ENTRYPOINT, CMD."""


def build(name: str, cache: Path, directory: Path) -> Path:
    """The archive of `docker.io/library/<name>-init:latest`."""
    more, programs, entrypoint, command = IMAGES[name]
    packages = Packages(cache, [*_BASE, *more])
    tree = Tree()
    for program in ("bin/busybox", *programs):
        tree.file(program, packages.read(program), 0o755)
    for path, content in packages.libraries(["bin/busybox", *programs]).items():
        tree.file(path, content, 0o755)
    for applet in ("sh", "sleep", "echo", "init"):
        tree.hardlink(f"bin/{applet}", "bin/busybox")
    tree.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    for each in ("dev", "proc", "sys", "run", "tmp"):
        tree.directory(each)
    path = directory / f"{name}.tar"
    config = {"Env": ["PATH=/usr/bin:/bin"], "Entrypoint": entrypoint, "Cmd": command}
    archive.write(path, f"docker.io/library/{name}-init:latest", [tree.layer()], config, debian.architecture())
    return path
