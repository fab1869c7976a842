"""Capabilities by name: their numbers are bits of the sets in /proc/PID/status. Source: linux/capability.h, capabilities(7)."""

from __future__ import annotations

from collections.abc import Iterable

NAMES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]
"""By number, without CAP_."""


def bits(names: Iterable[str]) -> int:
    """The set of such names; numbers of capabilities that have none here are names too."""
    return sum(1 << (NAMES.index(name) if name in NAMES else int(name)) for name in set(names))


def names(bits: int) -> list[str]:
    """Of a set, by number; what this list does not know yet has its number for a name."""
    return [NAMES[number] if number < len(NAMES) else str(number) for number in range(bits.bit_length()) if bits >> number & 1]
