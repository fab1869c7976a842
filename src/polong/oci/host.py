"""Facts of this machine that the specification builders need, read once when the node starts; and the profiles on its disk."""

from __future__ import annotations

import json
import os
import platform
import stat
from pathlib import Path
from typing import Any

from polong.kit.errors import FailedPrecondition, Invalid
from polong.linux import apparmor, cgroups, paths, proc
from polong.oci.spec import capabilities
from polong.oci.spec.model import Device, Host

Json = dict[str, Any]
SECCOMP_PROFILES = (Path("/usr/share/containers/seccomp.json"), Path("/etc/containers/seccomp.json"))
_PROFILE_LIMIT = 1 << 20
# What a container gets of its own, or what is no device at all.
_OWN = {
    "pts",
    "shm",
    "mqueue",
    "fd",
    "console",
    "core",
    "stdin",
    "stdout",
    "stderr",
    "ptmx",
    "null",
    "zero",
    "full",
    "random",
    "urandom",
    "tty",
}


def probe(layout: cgroups.Layout | None = None, root: Path = proc.PROC) -> Host:
    """What this machine offers to the daemon's own process. Devices are read by `devices`, when a privileged container asks."""
    own = proc.status(os.getpid(), root)
    found = layout or cgroups.detect()
    return Host(
        architecture=platform.machine(),
        capabilities=capabilities.from_mask(own.cap_bounding & own.cap_permitted),
        oom_score_adj=int((root / "self/oom_score_adj").read_text(encoding="ascii")),
        unified_cgroups=found.kind == cgroups.V2,
        apparmor=apparmor.enabled(),
    )


def devices(directory: Path = Path("/dev")) -> tuple[Device, ...]:
    """Every device node of the host, for a privileged container."""
    found: list[Device] = []
    for folder, names, files in os.walk(directory):
        if Path(folder) == directory:
            names[:] = [name for name in names if name not in _OWN]
        for name in files:
            if Path(folder) == directory and name in _OWN:
                continue
            try:
                found.append(device(str(Path(folder) / name)))
            except (OSError, Invalid):
                continue
    return tuple(sorted(found, key=lambda item: item.path))


def device(host_path: str, container_path: str = "", permissions: str = "rwm") -> Device:
    """One device node of the host. Invalid where it is none; FileNotFoundError where nothing is there."""
    node = Path(host_path).stat(follow_symlinks=False)
    kind = "c" if stat.S_ISCHR(node.st_mode) else "b" if stat.S_ISBLK(node.st_mode) else ""
    if not kind:
        raise Invalid(f"{host_path} is not a device", reason="CreateContainerError")
    if not permissions or set(permissions) - set("rwm"):
        raise Invalid(f"device permissions {permissions!r} are not out of r, w and m", reason="CreateContainerError")
    return Device(
        path=container_path or host_path,
        type=kind,
        major=os.major(node.st_rdev),
        minor=os.minor(node.st_rdev),
        permissions=permissions,
        mode=stat.S_IMODE(node.st_mode),
        uid=node.st_uid,
        gid=node.st_gid,
    )


def default_seccomp(candidates: tuple[Path, ...] = SECCOMP_PROFILES) -> Json:
    """The distribution's profile (containers-common). FailedPrecondition where none is installed: never silently unconfined."""
    for path in candidates:
        if path.exists():
            return load_seccomp(path.parent, path.name)
    raise FailedPrecondition(
        f"no seccomp profile at {candidates[0]}: install golang-github-containers-common, or run Pods with seccompProfile Unconfined",
        reason="CreateContainerError",
    )


def load_seccomp(root: Path, name: str) -> Json:
    """A profile by its name beneath `root`. Invalid for an empty, absolute, climbing, missing, over-large or damaged one."""
    if not name or name.startswith("/") or ".." in name.split("/") or not name.isprintable():
        raise Invalid(f"seccomp profile {name!r} must be a relative path without '..'", reason="CreateContainerError")
    try:
        with paths.Root.open(root) as top:
            document = json.loads(top.read(name, _PROFILE_LIMIT, resolve=paths.BENEATH))
    except (OSError, ValueError) as error:
        raise Invalid(f"cannot load seccomp profile {name!r}: {error}", reason="CreateContainerError") from error
    if not isinstance(document, dict):
        raise Invalid(f"cannot load seccomp profile {name!r}: not a JSON object", reason="CreateContainerError")
    return document
