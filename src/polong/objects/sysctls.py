"""Names of sysctls, and which of them a Pod may have. Pure.

Source: docs "Using sysctls in a Kubernetes Cluster"; component-helpers node/util/sysctl; pkg/kubelet/sysctl (allowlist.go, namespace.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

SAFE = frozenset(
    {
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
    }
)  # fmt: skip
"""Isolated between the Pods of a node, and of no harm to it."""

IPC = ("kernel.shm", "kernel.msg", "fs.mqueue.")
_IPC_NAME = "kernel.sem"
_NET = "net."
_PATTERN = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])+([a-z0-9][-_a-z0-9]*)?\*?|\*")


def dotted(name: str) -> str:
    """`net/ipv4/tcp_syncookies` as net.ipv4.tcp_syncookies. The first separator says which of the two it is; the other one then stands for
    itself."""
    first = next((character for character in name if character in "./"), ".")
    return name if first == "." else name.translate(str.maketrans("./", "/."))


def is_namespaced(pattern: str) -> bool:
    """Whether everything that the name, or pattern, stands for belongs to a namespace of the Pod's own."""
    return pattern == _IPC_NAME or pattern.startswith((*IPC, _NET))


def pattern_error(pattern: str) -> str:
    """What is wrong with an entry of allowedUnsafeSysctls; empty where nothing is."""
    if not _PATTERN.fullmatch(pattern):
        return "must be the name of a sysctl, or the beginning of one and *"
    return "" if is_namespaced(dotted(pattern)) else "is not known to be namespaced: it would change the host"


def forbidden(names: Iterable[str], allowed: Iterable[str]) -> str:
    """The first that is neither safe nor one of `allowed`, names and beginnings with a *; empty where there is none."""
    patterns = [dotted(each) for each in allowed]
    for name in map(dotted, names):
        if name in SAFE:
            continue
        if not any(name == each or (each.endswith("*") and name.startswith(each[:-1])) for each in patterns):
            return name
    return ""
