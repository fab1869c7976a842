"""What the builders take: small immutable values, filled by the CRI service. Sizes in bytes, ids as numbers, paths absolute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

NODE = "node"
"""The namespace of the host: no entry in config.json."""
NEW = "new"
"""A namespace of its own. Any other value is the absolute path of a namespace to join."""


@dataclass(frozen=True)
class Namespaces:
    """Each one NODE, NEW or an absolute path (`/proc/<pid>/ns/pid`, a pinned netns); `user` is never NEW: who makes one maps it."""

    user: str = NODE
    pid: str = NEW
    network: str = NEW
    ipc: str = NEW
    uts: str = NEW
    cgroup: str = NEW


@dataclass(frozen=True)
class User:
    """Resolved numbers only (never names). `groups` are the supplementary ones; `gid` is added to them by the builder."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Mount:
    """A bind mount from the host. `propagation` is private, rslave or rshared; `recursive_read_only` also locks mounts below."""

    source: str
    destination: str
    readonly: bool = False
    propagation: str = "private"
    recursive_read_only: bool = False


@dataclass(frozen=True)
class Tmpfs:
    """A fresh tmpfs in the container."""

    destination: str
    size: int | None = None
    mode: int = 0o755


@dataclass(frozen=True)
class Device:
    """A device node. `type` is c or b; `permissions` out of r, w, m; `mode`, `uid`, `gid` of the node made."""

    path: str
    type: str
    major: int
    minor: int
    permissions: str = "rwm"
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Rlimit:
    """`type` such as RLIMIT_NOFILE."""

    type: str
    soft: int
    hard: int


@dataclass(frozen=True)
class Resources:
    """CRI's LinuxContainerResources. None is "not said". CPU times in microseconds, quota -1 is no limit; memory -1 is no limit."""

    cpu_shares: int | None = None
    cpu_quota: int | None = None
    cpu_period: int | None = None
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    memory: int | None = None
    memory_swap: int | None = None
    pids: int | None = None
    hugepages: Mapping[str, int] = field(default_factory=dict)
    unified: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Host:
    """Facts of this machine and of the daemon itself: `oci.host.probe()`.

    `architecture` is the kernel's word (x86_64, aarch64); `capabilities` the daemon's bounding set; `oom_score_adj` the daemon's
    own (a container's is never lower: that needs CAP_SYS_RESOURCE, and is bad manners); `devices` all of /dev, for privileged ones.
    """

    architecture: str
    capabilities: frozenset[str]
    oom_score_adj: int = 0
    unified_cgroups: bool = False
    apparmor: bool = False
    devices: tuple[Device, ...] = ()


@dataclass(frozen=True)
class SandboxSpec:
    """The sandbox's own process, /pause. `rootfs` is a directory that holds it. `cgroup` such as /polong/<node>/pod<uid>/<id>."""

    rootfs: str
    hostname: str
    cgroup: str
    namespaces: Namespaces = Namespaces()
    args: tuple[str, ...] = ("/pause",)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    seccomp: Json | None = None
    apparmor_profile: str = ""
    resources: Resources = Resources(cpu_shares=2)
    oom_score_adj: int = 0
    shm: str = ""


@dataclass(frozen=True)
class ContainerSpec:
    """One container.

    `env` entries are NAME=value. `capabilities` is the effective set (see `capabilities.effective`), the ambient ones are among them.
    `seccomp` is a profile document in the containers-common or OCI form, None is Unconfined; it is filtered by architecture and
    capabilities here. `masked_paths` and `readonly_paths`: None means the default lists. `shm` is the Pod's /dev/shm on the host; empty
    gives one of the container's own.
    """

    rootfs: str
    args: tuple[str, ...]
    cgroup: str
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: User = User()
    terminal: bool = False
    hostname: str = ""
    namespaces: Namespaces = Namespaces()
    mounts: tuple[Mount, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    devices: tuple[Device, ...] = ()
    capabilities: frozenset[str] = frozenset()
    ambient_capabilities: frozenset[str] = frozenset()
    privileged: bool = False
    no_new_privileges: bool = True
    readonly_rootfs: bool = False
    seccomp: Json | None = None
    apparmor_profile: str = ""
    masked_paths: tuple[str, ...] | None = None
    readonly_paths: tuple[str, ...] | None = None
    rlimits: tuple[Rlimit, ...] = ()
    resources: Resources = Resources()
    oom_score_adj: int = 0
    sysctls: Mapping[str, str] = field(default_factory=dict)
    shm: str = ""
