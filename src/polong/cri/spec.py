"""CRI's ContainerConfig over the image's configuration, to what `oci.spec` builds from. Pure: files and devices come in as values.

Sources: cri-api ContainerConfig, LinuxContainerSecurityContext; OCI image-spec config; Kubernetes "Define a Command and Arguments".
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from polong.cri.ports import ImageConfig
from polong.cri.users import Identity
from polong.criapi.wire import v1
from polong.kit.errors import Invalid, Unsupported
from polong.oci.spec import capabilities
from polong.oci.spec.model import NODE, ContainerSpec, Device, Host, Json, Mount, Namespaces, Resources, SandboxSpec, User
from polong.oci.vet import RUNTIME_DEVICES

_REASON = "CreateContainerError"
_PROPAGATION = {
    v1.PROPAGATION_PRIVATE: "private",
    v1.PROPAGATION_HOST_TO_CONTAINER: "rslave",
    v1.PROPAGATION_BIDIRECTIONAL: "rshared",
}


@dataclass(frozen=True)
class SandboxFiles:
    """Host paths of what every container of a sandbox sees; "" where the host's own is used."""

    hostname: str
    resolv_conf: str
    shm: str


@dataclass(frozen=True)
class ContainerInputs:
    """Everything that a container is made of. `seccomp` is the profile already chosen, None for Unconfined; `apparmor` the name
    of one, "" for none."""

    config: v1.ContainerConfig
    image: ImageConfig
    rootfs: str
    cgroup: str
    identity: Identity
    namespaces: Namespaces
    files: SandboxFiles
    hostname: str
    host: Host
    seccomp: Json | None = None
    apparmor: str = ""
    devices: tuple[Device, ...] = ()


def container(inputs: ContainerInputs) -> ContainerSpec:
    """Invalid or Unsupported, one line, where the configuration cannot be honoured wholly."""
    config, security = inputs.config, inputs.config.linux.security_context
    refuse_unsupported(config)
    identity = inputs.identity
    return ContainerSpec(
        rootfs=inputs.rootfs,
        args=arguments(config, inputs.image),
        cgroup=inputs.cgroup,
        env=environment(config, inputs.image, hostname=inputs.hostname, home=identity.home),
        cwd=working_directory(config, inputs.image),
        user=User(identity.uid, identity.gid, identity.groups),
        terminal=config.tty,
        namespaces=inputs.namespaces,
        mounts=mounts(config, inputs.files),
        devices=inputs.devices,
        capabilities=_capabilities(security, inputs.host),
        ambient_capabilities=_ambient(security, inputs.host),
        privileged=security.privileged,
        no_new_privileges=security.no_new_privs,
        readonly_rootfs=security.readonly_rootfs,
        seccomp=inputs.seccomp,
        apparmor_profile=inputs.apparmor,
        masked_paths=_paths(security.masked_paths, inputs.namespaces),
        readonly_paths=_paths(security.readonly_paths, inputs.namespaces),
        resources=resources(config.linux.resources),
        oom_score_adj=config.linux.resources.oom_score_adj,
        shm="" if inputs.namespaces.ipc == NODE else inputs.files.shm,
    )


def sandbox(
    config: v1.PodSandboxConfig, *, rootfs: str, cgroup: str, namespaces: Namespaces, seccomp: Json | None, apparmor: str, shm: str
) -> SandboxSpec:
    """The sandbox's own process."""
    return SandboxSpec(
        rootfs=rootfs,
        hostname=config.hostname,
        cgroup=cgroup,
        namespaces=namespaces,
        sysctls=dict(config.linux.sysctls),
        seccomp=seccomp,
        apparmor_profile=apparmor,
        shm="" if namespaces.ipc == NODE else shm,
    )


def refuse_unsupported(config: v1.ContainerConfig) -> None:
    """What this runtime does not do is said by name, never passed over."""
    if config.HasField("windows"):
        raise Unsupported("windows containers are not supported", reason=_REASON)
    if config.CDI_devices:
        raise Unsupported("CDI devices are not supported", reason=_REASON)


def arguments(config: v1.ContainerConfig, image: ImageConfig) -> tuple[str, ...]:
    """`command` replaces the image's ENTRYPOINT and drops its CMD; `args` replaces CMD alone."""
    result = (*config.command, *config.args) if config.command else (*image.entrypoint, *(config.args or image.cmd))
    if not result:
        raise Invalid("no command specified: neither the container nor its image has one", reason=_REASON)
    return result


def environment(config: v1.ContainerConfig, image: ImageConfig, *, hostname: str, home: str) -> tuple[str, ...]:
    """The image's, then HOSTNAME, then the container's; a later name replaces an earlier one in its place. HOME is the user's."""
    values: dict[str, str] = {}
    for entry in image.env:
        name, equals, value = entry.partition("=")
        if name and equals:
            values[name] = value
    if hostname:
        values["HOSTNAME"] = hostname
    values.update((pair.key, pair.value) for pair in config.envs)
    values.setdefault("HOME", home)
    return tuple(f"{name}={value}" for name, value in values.items())


def working_directory(config: v1.ContainerConfig, image: ImageConfig) -> str:
    """Absolute, and not below the kernel's file systems: there a leaked descriptor is a way out (CVE-2024-21626)."""
    path = config.working_dir or image.working_dir or "/"
    if not path.startswith("/"):
        raise Invalid(f"working directory {path[:256]!r} is not absolute", reason=_REASON)
    normal = _normal(path)
    if _below(normal, "/proc") or _below(normal, "/sys") or _below(normal, "/dev/fd"):
        raise Invalid(f"working directory {path[:256]!r} lies below /proc, /sys or /dev/fd", reason=_REASON)
    return normal


def mounts(config: v1.ContainerConfig, files: SandboxFiles) -> tuple[Mount, ...]:
    """The container's, and the sandbox's hostname and resolv.conf where the container brings none of its own."""
    security = config.linux.security_context
    result = [_mount(mount, privileged=security.privileged) for mount in config.mounts]
    taken = {mount.destination for mount in result}
    for source, destination in ((files.hostname, "/etc/hostname"), (files.resolv_conf, "/etc/resolv.conf")):
        if source and destination not in taken and not any(_below(destination, other) for other in taken):
            result.append(Mount(source, destination, readonly=security.readonly_rootfs))
    return tuple(result)


def is_image(mount: v1.Mount) -> bool:
    """Whether it is a volume that an image fills (KEP-4639)."""
    return mount.HasField("image") and bool(mount.image.image)


def _mount(mount: v1.Mount, *, privileged: bool) -> Mount:
    destination = checked_destination(mount.container_path, privileged=privileged)
    if is_image(mount) and not mount.readonly:
        raise Invalid(f"image volume at {destination} must be read-only", reason=_REASON)
    if not mount.host_path.startswith("/"):
        raise Invalid(f"source {mount.host_path[:256]!r} of the mount at {destination} is not an absolute path", reason=_REASON)
    if mount.propagation == v1.PROPAGATION_BIDIRECTIONAL and not privileged:
        raise Invalid(f"bidirectional mount propagation at {destination} is for privileged containers only", reason=_REASON)
    if mount.recursive_read_only and not (mount.readonly and mount.propagation == v1.PROPAGATION_PRIVATE):
        raise Invalid(f"recursive read-only mount at {destination} must be read-only and private", reason=_REASON)
    return Mount(
        mount.host_path,
        destination,
        readonly=mount.readonly,
        propagation=_PROPAGATION[mount.propagation],
        recursive_read_only=mount.recursive_read_only,
    )


def checked_destination(path: str, *, privileged: bool) -> str:
    """Normalized. Invalid at or above the kernel's file systems: mounts there undo masks and /dev (CVE-2019-19921, CVE-2025-31133)."""
    if "\0" in path or not path:
        raise Invalid("a mount has an empty destination, or one with a NUL byte", reason=_REASON)
    if ".." in path.split("/"):
        raise Invalid(f"mount destination {path[:256]!r} contains '..'", reason=_REASON)
    normal = _normal(path if path.startswith("/") else f"/{path}")
    forbidden = normal == "/" or _below(normal, "/proc")
    forbidden = forbidden or (not privileged and _below(normal, "/sys"))
    forbidden = forbidden or (not privileged and (normal == "/dev" or any(_below(normal, each) for each in RUNTIME_DEVICES)))
    if forbidden:
        raise Invalid(f"cannot mount at {normal}: the place belongs to the kernel's own file systems", reason=_REASON)
    return normal


def _normal(path: str) -> str:
    normal = posixpath.normpath(path)
    return f"/{normal.lstrip('/')}"


def _below(path: str, parent: str) -> bool:
    return path == parent or path.startswith(f"{parent.rstrip('/')}/")


def resources(asked: v1.LinuxContainerResources) -> Resources:
    """Zero is CRI's "not said" everywhere but in maps."""
    return Resources(
        cpu_shares=asked.cpu_shares or None,
        cpu_quota=asked.cpu_quota or None,
        cpu_period=asked.cpu_period or None,
        cpuset_cpus=asked.cpuset_cpus,
        cpuset_mems=asked.cpuset_mems,
        memory=asked.memory_limit_in_bytes or None,
        memory_swap=asked.memory_swap_limit_in_bytes or None,
        hugepages={limit.page_size: limit.limit for limit in asked.hugepage_limits if limit.limit},
        unified=dict(asked.unified),
    )


def _capabilities(security: v1.LinuxContainerSecurityContext, host: Host) -> frozenset[str]:
    if security.privileged:
        return host.capabilities
    return capabilities.effective(security.capabilities.add_capabilities, security.capabilities.drop_capabilities, host.capabilities)


def _ambient(security: v1.LinuxContainerSecurityContext, host: Host) -> frozenset[str]:
    """What a process that is not root keeps over execve(2): what is asked for, out of what the container has."""
    asked = {capabilities.canonical(name) for name in security.capabilities.add_ambient_capabilities}
    if missing := sorted(asked - _capabilities(security, host)):
        raise Invalid(f"ambient capabilities {', '.join(missing)} are not among those of the container", reason=_REASON)
    return frozenset(asked)


def _paths(asked: Sequence[str], namespaces: Namespaces) -> tuple[str, ...] | None:
    """CRI cannot tell "none" from "not said". None (the default lists) is the answer that is safe; where the container's root is nobody
    on the host, it is procMount Unmasked, for kubelets send the default lists by name."""
    return tuple(asked) or (None if namespaces.user == NODE else ())
