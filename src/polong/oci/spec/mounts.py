"""`mounts` of config.json. /dev is always a fresh tmpfs: runtimes up to crun 1.29 and runc 1.4 follow an image's /dev otherwise."""

from __future__ import annotations

from polong.kit.errors import Invalid
from polong.oci.spec.model import NODE, ContainerSpec, Json, Mount, Namespaces, SandboxSpec, Tmpfs

_PROPAGATIONS = ("private", "rslave", "rshared")
_SHM_SIZE = 64 << 20


def _mount(destination: str, kind: str, source: str, *options: str) -> Json:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _shm(path: str, namespaces: Namespaces) -> Json:
    source = path or ("/dev/shm" if namespaces.ipc == NODE else "")
    if source:
        return _mount("/dev/shm", "bind", source, "rbind", "rprivate", "rw", "nosuid", "nodev", "noexec")
    return _mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", f"size={_SHM_SIZE}")


def _kernel(namespaces: Namespaces, *, privileged: bool, shm: str) -> list[Json]:
    access = "rw" if privileged else "ro"
    # A new sysfs needs a network namespace that the mounter owns; with the host's own it shows the host's devices, read-only as well.
    return [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        _shm(shm, namespaces),
        # In the node's IPC namespace this shows the node's queues, also where the node itself has not mounted them.
        _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", access),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", access),
    ]


def _bind(mount: Mount) -> Json:
    if mount.propagation not in _PROPAGATIONS:
        raise Invalid(f"mount propagation {mount.propagation!r} of {mount.destination} is none of {', '.join(_PROPAGATIONS)}")
    propagation = "rprivate" if mount.propagation == "private" else mount.propagation
    access = ("rro" if mount.recursive_read_only else "ro") if mount.readonly else "rw"
    return _mount(mount.destination, "bind", mount.source, "rbind", propagation, access)


def _tmpfs(mount: Tmpfs) -> Json:
    options = ["nosuid", "nodev", f"mode={mount.mode:o}"]
    if mount.size is not None:
        options.append(f"size={mount.size}")
    return _mount(mount.destination, "tmpfs", "tmpfs", *options)


def _depth(entry: Json) -> int:
    return len([part for part in entry["destination"].split("/") if part])


def container(spec: ContainerSpec) -> list[Json]:
    """Kernel file systems first, then the container's own, parents before children. A user mount at a kernel place replaces it."""
    own = [_tmpfs(mount) for mount in spec.tmpfs] + [_bind(mount) for mount in spec.mounts]
    taken = {entry["destination"].rstrip("/") for entry in own}
    kernel = [entry for entry in _kernel(spec.namespaces, privileged=spec.privileged, shm=spec.shm) if entry["destination"] not in taken]
    return kernel + sorted(own, key=_depth)


def sandbox(spec: SandboxSpec) -> list[Json]:
    return _kernel(spec.namespaces, privileged=False, shm=spec.shm)


def root_propagation(mounts: tuple[Mount, ...]) -> str:
    """`linux.rootfsPropagation`: a volume can only be as shared as the root it hangs below."""
    wanted = {mount.propagation for mount in mounts}
    return "rshared" if "rshared" in wanted else "rslave" if "rslave" in wanted else "rprivate"
