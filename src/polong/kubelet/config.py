"""Configuration of a kubelet, explicit and whole: the daemon computes it, nothing here guesses paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from polong.kubelet.pressure import DEFAULT_HARD

CLUSTER_DOMAIN = "cluster.local"
"""Kubernetes' default, under which Pods with a subdomain find their own full name."""


@dataclass(frozen=True)
class DnsConfig:
    """What /etc/resolv.conf of Pods with dnsPolicy ClusterFirst or Default says; empty `servers` takes the host's resolv.conf."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class KubeletConfig:
    """`root_dir` holds `pods/<uid>/…`, `log_dir` holds `<namespace>_<name>_<uid>/<container>/<n>.log`; both are made with mode 0700.

    `cgroup_parent` is a cgroup path such as /polong/1a2b3c4d, `node_ip` the node's own address (the host's first global one where
    empty), times are seconds. A log of more than `log_size` bytes is put aside; `log_files` of one container are kept.
    Images are collected when more than `image_gc_high` percent of the disk are used, down to `image_gc_low`.
    `pod_pids` bounds the processes of one Pod; 0: half of what the machine may have, 32768 at most.
    `static_pods` is a directory (or one file) of manifests of Pods that the node runs by itself, looked at again each `static_period`.
    `shutdown` tells how long Pods may take to end when the machine goes down: (from this priority on, seconds); each its own where empty.
    """

    node_name: str
    root_dir: Path
    log_dir: Path
    cgroup_parent: str
    pod_cidr: str = ""
    dns: DnsConfig = field(default_factory=DnsConfig)
    node_ip: str = ""
    version: str = "v1.33.0"
    max_pods: int = 110
    heartbeat: float = 10.0
    report: float = 300.0
    relist: float = 5.0
    collect: float = 60.0
    image_period: float = 300.0
    image_gc_high: int = 85
    image_gc_low: int = 80
    image_min_age: float = 120.0
    eviction_hard: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_HARD))
    eviction_period: float = 10.0
    pressure_transition: float = 300.0
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    log_size: int = 10 << 20
    log_files: int = 5
    log_period: float = 10.0
    pod_pids: int = 0
    static_pods: Path | None = None
    static_period: float = 20.0
    shutdown: tuple[tuple[int, int], ...] = ()
