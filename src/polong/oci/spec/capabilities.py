"""Capability sets (capabilities(7)): the default set, CRI's add and drop lists, and config.json's five sets.

Inheritable and ambient stay empty unless ambient ones are asked for by name: with them a process that changed its user keeps rights
(CVE-2022-29162 and kin).
"""

from __future__ import annotations

from collections.abc import Iterable

from polong.kit.errors import Invalid, Unsupported
from polong.linux import capabilities
from polong.oci.spec.model import Json

NAMES = [f"CAP_{name}" for name in capabilities.NAMES]
"""By number: /proc/<pid>/status shows sets as bits."""

# What Docker, containerd and Kubernetes' documentation give a container that says nothing.
DEFAULT = frozenset(
    [
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_MKNOD",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE",
    ]
)


def canonical(name: str) -> str:
    """`sys_ptrace`, `SYS_PTRACE` and `CAP_SYS_PTRACE` -> `CAP_SYS_PTRACE`; Invalid where there is no such capability."""
    upper = name.upper()
    full = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    if full not in NAMES:
        raise Invalid(f"unknown capability {name!r}", reason="CreateContainerError")
    return full


def effective(add: Iterable[str], drop: Iterable[str], available: frozenset[str]) -> frozenset[str]:
    """The set of a container that is not privileged: default, less `drop`, plus `add`; ALL is understood in both.

    `available` is what the daemon may give (`Host.capabilities`). Unsupported where `add` names one that the host withholds.
    """
    added, dropped = list(add), list(drop)
    add_all = any(name.upper() in {"ALL", "CAP_ALL"} for name in added)
    drop_all = any(name.upper() in {"ALL", "CAP_ALL"} for name in dropped)
    named_add = {canonical(name) for name in added if name.upper() not in {"ALL", "CAP_ALL"}}
    named_drop = {canonical(name) for name in dropped if name.upper() not in {"ALL", "CAP_ALL"}}
    withheld = sorted(named_add - available)
    if withheld:
        raise Unsupported(f"cannot add {', '.join(withheld)}: this host withholds it from the daemon", reason="CreateContainerError")
    base = available if add_all else (frozenset() if drop_all else DEFAULT & available)
    return frozenset((base - named_drop) | named_add)


def section(names: frozenset[str], ambient: frozenset[str] = frozenset()) -> Json:
    """`process.capabilities` of config.json. What is ambient must be inheritable too."""
    ordered = [name for name in NAMES if name in names]
    kept = [name for name in NAMES if name in ambient]
    return {"bounding": ordered, "effective": ordered, "permitted": ordered, "inheritable": kept, "ambient": kept}


def mask(names: Iterable[str]) -> int:
    """As the bits of `CapBnd:` in /proc/<pid>/status."""
    return sum(1 << NAMES.index(name) for name in set(names))


def from_mask(bits: int) -> frozenset[str]:
    return frozenset(name for number, name in enumerate(NAMES) if bits >> number & 1)
