"""Masked and read-only paths: what moby and containerd ship today, as data."""

from __future__ import annotations

from polong.oci.spec.model import ContainerSpec

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def masked(spec: ContainerSpec) -> list[str]:
    if spec.privileged:
        return []
    return list(MASKED_PATHS if spec.masked_paths is None else spec.masked_paths)


def readonly(spec: ContainerSpec) -> list[str]:
    # Not /sys/fs/cgroup: with v1 controllers crun 1.8 binds it anew for that, and then the controllers below are writable.
    if spec.privileged:
        return []
    return list(READONLY_PATHS if spec.readonly_paths is None else spec.readonly_paths)
