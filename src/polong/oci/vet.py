"""Before create: is this root file system one that a runtime can be let loose on?

Installed runtimes (crun 1.8, runc 1.1) follow an image's links while they prepare /dev, /proc and mount points, and so write outside
the root (CVE-2026-41579, CVE-2023-28642, CVE-2019-19921). Everything they will touch is looked at first, beneath a descriptor.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polong.kit.errors import FailedPrecondition, Invalid
from polong.linux import paths

Json = dict[str, Any]
_REASON = "CreateContainerError"
_PLACES = ("dev", "dev/pts", "dev/shm", "dev/mqueue", "proc", "sys", "sys/fs", "sys/fs/cgroup", "etc", "run", "tmp")
_KERNEL = ("/proc", "/sys", "/dev")
# What the runtime itself makes on the fresh /dev: a mount there would swap a mask's or a terminal's device for something else.
# Other names below /dev are free: Kubernetes puts shared memory, message queues and termination messages there.
_MADE = ("console", "core", "fd", "full", "null", "ptmx", "pts", "random", "stderr", "stdin", "stdout", "tty", "urandom", "zero")
RUNTIME_DEVICES = tuple(f"/dev/{name}" for name in _MADE)


def rootfs(root: Path, config: Json) -> None:
    """Check the mounted root file system `root` against the configuration that the runtime will get. Invalid names what is wrong.

    Run it after the last change to `root` and right before create.
    """
    try:
        top = paths.Root.open(root)
    except OSError as error:
        raise FailedPrecondition(f"cannot open root file system {root}: {error.strerror}", reason=_REASON) from error
    privileged = not config.get("linux", {}).get("maskedPaths")
    with top:
        for place in _PLACES:
            _real_directory(top, place)
        _working_directory(top, str(config.get("process", {}).get("cwd", "/")))
        for mount in user_mounts(config):
            destination(top, str(mount["destination"]), privileged=privileged)


def user_mounts(config: Json) -> Sequence[Json]:
    """The mounts that the builder did not add by itself."""
    return [mount for mount in config.get("mounts", []) if not _builtin(mount)]


def _builtin(mount: Json) -> bool:
    kinds = {"/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts", "/dev/mqueue": "mqueue", "/sys": "sysfs", "/sys/fs/cgroup": "cgroup"}
    return kinds.get(str(mount.get("destination"))) == mount.get("type")


def _real_directory(top: paths.Root, place: str) -> None:
    kind = _kind(top, place)
    if kind is None or kind == stat.S_IFDIR:
        return
    what = "a symbolic link" if kind == stat.S_IFLNK else "not a directory"
    raise Invalid(f"image is refused: /{place} is {what}", reason=_REASON)


def _kind(top: paths.Root, place: str) -> int | None:
    try:
        return top.kind(place, resolve=paths.NO_LINKS)
    except OSError:
        # A link above it (ELOOP): that one is reported by its own entry of the list.
        return stat.S_IFLNK


def _working_directory(top: paths.Root, cwd: str) -> None:
    if not cwd.startswith("/"):
        raise Invalid(f"working directory {cwd!r} is not absolute", reason=_REASON)
    resolved = _resolve(top, cwd, "working directory")
    if _below(resolved, "/proc") or _below(resolved, "/sys"):
        raise Invalid(f"working directory {cwd!r} lies in {'/'.join(resolved.split('/')[:2])}", reason=_REASON)


def destination(top: paths.Root, path: str, *, privileged: bool) -> str:
    """Where a mount will really land. Invalid where that is the root, /proc, /sys or below, /dev, or what the
    runtime makes there."""
    if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise Invalid(f"mount path {path!r} must be absolute and without '..'", reason=_REASON)
    resolved = _resolve(top, path, "mount path")
    if resolved == "/":
        raise Invalid(f"mount path {path!r} is the root of the container", reason=_REASON)
    for kernel in _KERNEL:
        if not _below(resolved, kernel):
            continue
        if kernel == "/dev" and resolved != "/dev" and not any(_below(resolved, made) for made in RUNTIME_DEVICES):
            continue
        # A privileged container has the host's devices and sysfs anyway; /proc never carries anything but procfs.
        if privileged and kernel != "/proc":
            continue
        raise Invalid(f"mount path {path!r} lies in {kernel}, which belongs to the runtime", reason=_REASON)
    return resolved


def _resolve(top: paths.Root, path: str, what: str) -> str:
    try:
        return top.resolve_missing(path)
    except Invalid as error:
        raise Invalid(error.message, reason=_REASON) from error
    except OSError as error:
        raise Invalid(f"{what} {path!r} cannot be resolved in the image: {error.strerror}", reason=_REASON) from error


def _below(path: str, top: str) -> bool:
    return path == top or path.startswith(top + "/")
