"""Between create and start: does the kernel say what config.json says? Read from the host, without trust in the runtime.

A mismatch is FailedPrecondition: the caller then deletes the container, which has not run a single instruction of its image.
`created` reads all but the seccomp filter and the AppArmor profile, which runtimes take on as the very last step; `started` reads those.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from polong.kit.errors import FailedPrecondition
from polong.linux import apparmor, mountinfo, namespaces, proc
from polong.oci import vet
from polong.oci.spec import capabilities

Json = dict[str, Any]
_REASON = "CreateContainerError"
_KINDS = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup", "mount": "mnt", "user": "user"}


def created(pid: int, config: Json, root: Path = proc.PROC) -> None:
    """Raise where users, capabilities, cgroup, namespaces, masks or mounts of process `pid` are not those of `config`."""
    try:
        status, groups, table = proc.status(pid, root), proc.cgroups(pid, root), mountinfo.read(pid, root)
    except (ProcessLookupError, FileNotFoundError) as error:
        raise _wrong("its process has ended before it was started") from error
    wanted = config["process"]
    _credentials(_seen_inside(status, pid, config, root), wanted)
    cgroup = config["linux"].get("cgroupsPath", "")
    _cgroup(groups, str(cgroup))
    _namespaces(pid, config["linux"].get("namespaces", []), root)
    _mounts(table, config)
    _masks(root / str(pid) / "root", config["linux"].get("maskedPaths", []), table)
    _readonly(config["linux"].get("readonlyPaths", []), table, root / str(pid) / "root")


def started(pid: int, config: Json, root: Path = proc.PROC) -> None:
    """Raise where the process has not executed its command, or runs without the seccomp filter that it shall have. A process that has
    already ended passes."""
    try:
        status = proc.status(pid, root)
        found = proc.stat(pid, root)
    except ProcessLookupError:
        return
    if found.state in "ZX":
        return
    # A created container is a fork of the runtime that waits. A runtime that says "started" and did nothing leaves it at that.
    if not found.executed:
        raise _wrong("the runtime did not start it")
    if "seccomp" in config["linux"] and status.seccomp != 2:
        raise _wrong("it runs without its seccomp filter")
    profile = config["process"].get("apparmorProfile", "")
    if profile and (label := apparmor.label(pid, root)) != profile:
        raise _wrong(f"it runs under AppArmor profile {label or apparmor.UNCONFINED} instead of {profile}")


def _seen_inside(status: proc.Status, pid: int, config: Json, root: Path) -> proc.Status:
    """Ids as the container's user namespace names them, where it joins one (which one is compared by itself)."""
    if not any(entry.get("type") == "user" for entry in config["linux"].get("namespaces", [])):
        return status
    try:
        users, groups = (_mapped((root / str(pid) / name).read_text(encoding="ascii")) for name in ("uid_map", "gid_map"))
    except OSError as error:
        raise _wrong("its process has ended before it was started") from error
    real, effective, saved, files = (users(number) for number in status.uids)
    own, acting, kept, group = (groups(number) for number in status.gids)
    return dataclasses.replace(
        status,
        uids=(real, effective, saved, files),
        gids=(own, acting, kept, group),
        groups=tuple(groups(number) for number in status.groups),
    )


def _mapped(table: str) -> Callable[[int], int]:
    ranges = [tuple(int(word) for word in line.split()) for line in table.splitlines()]

    def inside(number: int) -> int:
        return next((first + number - outer for first, outer, length in ranges if outer <= number < outer + length), -1)

    return inside


def _wrong(what: str) -> FailedPrecondition:
    return FailedPrecondition(f"container is refused: {what}", reason=_REASON)


def _credentials(status: proc.Status, wanted: Json) -> None:
    user = wanted["user"]
    if set(status.uids) != {user["uid"]} or set(status.gids) != {user["gid"]}:
        raise _wrong(f"it has user {status.uids[1]}:{status.gids[1]} instead of {user['uid']}:{user['gid']}")
    if set(status.groups) != set(user.get("additionalGids", [])):
        raise _wrong(f"it has groups {sorted(status.groups)} instead of {sorted(user.get('additionalGids', []))}")
    allowed = capabilities.mask(wanted["capabilities"]["bounding"])
    for name, found in (
        ("bounding", status.cap_bounding),
        ("permitted", status.cap_permitted),
        ("effective", status.cap_effective),
    ):
        if extra := found & ~allowed:
            raise _wrong(f"its {name} capabilities hold {', '.join(sorted(capabilities.from_mask(extra))) or hex(extra)} beyond its own")
    kept = capabilities.mask(wanted["capabilities"].get("ambient", []))
    if status.cap_inheritable & ~kept or status.cap_ambient & ~kept:
        raise _wrong("it has inheritable or ambient capabilities beyond its own")
    if wanted.get("noNewPrivileges") and not status.no_new_privileges:
        raise _wrong("no_new_privs is not set")


def _cgroup(found: dict[str, str], wanted: str) -> None:
    for controllers, path in found.items():
        # Every hierarchy that crun and the joiner manage; runc may leave hierarchies without controllers of its own alone.
        if controllers in {"memory", "pids", "cpu", "cpu,cpuacct", "freezer", ""} and path != wanted and not path.startswith(wanted + "/"):
            raise _wrong(f"it is in cgroup {path} ({controllers or 'unified'}) instead of {wanted}")


def _namespaces(pid: int, wanted: list[Json], root: Path) -> None:
    listed = {str(entry["type"]): str(entry.get("path", "")) for entry in wanted}
    for kind, file in _KINDS.items():
        if kind == "user" and kind not in listed:
            continue
        own = namespaces.of_process(os.getpid(), file, root)
        found = namespaces.of_process(pid, file, root)
        if kind not in listed and found != own:
            raise _wrong(f"it has a {kind} namespace of its own instead of the node's")
        if kind in listed and not listed[kind] and found == own:
            raise _wrong(f"it is in the node's {kind} namespace")
        if listed.get(kind) and found != namespaces.identity(listed[kind]):
            raise _wrong(f"it is not in the {kind} namespace that it shall join")


def _mounts(table: list[mountinfo.Mount], config: Json) -> None:
    on_top = {mount.target: mount for mount in table}
    for place, kind in (("/proc", "proc"), ("/dev", "tmpfs"), ("/dev/pts", "devpts"), ("/sys", "sysfs")):
        if place not in on_top or on_top[place].fstype != kind:
            raise _wrong(f"{place} is not a {kind} of the runtime")
    targets = set(on_top)
    for mount in vet.user_mounts(config):
        path = "/" + "/".join(part for part in str(mount["destination"]).split("/") if part)
        name = path.rsplit("/", 1)[-1]
        # A link of the image on the way leads elsewhere, which vetting allowed; then the last name still ends the real target.
        if path not in targets and not any(target.rsplit("/", 1)[-1] == name for target in targets):
            raise _wrong(f"nothing is mounted at {path}")


def _masks(top: Path, masked: list[str], table: list[mountinfo.Mount]) -> None:
    on_top = {mount.target: mount for mount in table}
    for path in masked:
        place = top / path.lstrip("/")
        try:
            found = place.stat(follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            continue
        mount = on_top.get(path)
        if stat.S_ISCHR(found.st_mode) and (os.major(found.st_rdev), os.minor(found.st_rdev)) == (1, 3):
            continue
        if stat.S_ISDIR(found.st_mode) and mount is not None and "ro" in mount.options and not any(place.iterdir()):
            continue
        raise _wrong(f"{path} is not masked")


def _readonly(readonly: list[str], table: list[mountinfo.Mount], top: Path) -> None:
    on_top = {mount.target: mount for mount in table}
    for path in readonly:
        if not (top / path.lstrip("/")).exists():
            continue
        mount = on_top.get(path)
        if mount is None or "ro" not in mount.options:
            raise _wrong(f"{path} is not read-only")
