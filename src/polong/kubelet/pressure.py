"""When a node is short of something, and which Pod is to go. Pure.

Source: kubelet eviction/helpers.go and defaults_linux.go; docs "Node-pressure Eviction".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from polong.kit.errors import Invalid
from polong.objects import pod as pods
from polong.objects import quantity

Json = dict[str, Any]

MEMORY, DISK, INODES, PROCESSES = "memory.available", "nodefs.available", "nodefs.inodesFree", "pid.available"
SIGNALS: Mapping[str, tuple[str, str]] = {
    MEMORY: ("MemoryPressure", "memory"),
    DISK: ("DiskPressure", "ephemeral-storage"),
    INODES: ("DiskPressure", "inodes"),
    PROCESSES: ("PIDPressure", "pids"),
}
"""Signal -> condition of the Node, and the resource that messages name."""

HEALTHY: Mapping[str, tuple[str, str]] = {
    "MemoryPressure": ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
}
SHORT: Mapping[str, tuple[str, str]] = {
    "MemoryPressure": ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    "DiskPressure": ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    "PIDPressure": ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
}

DEFAULT_HARD: Mapping[str, str] = {MEMORY: "100Mi", DISK: "10%", INODES: "5%"}
CRITICAL = 2_000_000_000
"""From this priority on a Pod is never evicted."""


@dataclass(frozen=True)
class Level:
    """Of one signal; bytes, inodes or PIDs."""

    capacity: int
    available: int


@dataclass(frozen=True)
class Use:
    """What one Pod uses of the resource that is short, and what it asked for; by container for the message."""

    pod: Json
    used: int
    requested: int
    containers: tuple[tuple[str, int, int], ...] = ()


def thresholds(hard: Mapping[str, Any], path: str) -> Mapping[str, str]:
    """Of evictionHard; Invalid for a signal that there is not, or a value that is neither a quantity nor a percentage."""
    for signal, value in hard.items():
        if signal not in SIGNALS:
            raise Invalid(f'{path}: unknown eviction signal "{signal}": there are {", ".join(SIGNALS)}')
        threshold(str(value), 100, f"{path}.{signal}")
    return {signal: str(value) for signal, value in hard.items()}


def threshold(text: str, capacity: int, path: str = "evictionHard") -> int:
    """In the unit of the signal."""
    try:
        if text.endswith("%"):
            percent = float(text[:-1])
            if not 0 <= percent <= 100:
                raise ValueError(text)
            return int(capacity * percent / 100)
        return quantity.value(text)
    except ValueError:
        raise Invalid(f'{path}: "{text}" is neither a quantity nor a percentage') from None


def met(levels: Mapping[str, Level], hard: Mapping[str, str]) -> list[str]:
    """The signals that are below their threshold, memory first."""
    return [
        signal
        for signal in SIGNALS
        if signal in levels and signal in hard and levels[signal].available < threshold(hard[signal], levels[signal].capacity)
    ]


def victim(uses: Iterable[Use]) -> Use | None:
    """Who uses more than it asked for goes first, then the lowest priority, then who is furthest above its request."""

    def rank(use: Use) -> tuple[bool, int, int, str]:
        return use.used <= use.requested, priority(use.pod), use.requested - use.used, pods.uid(use.pod)

    return min((use for use in uses if use.used > 0 and not _critical(use.pod)), key=rank, default=None)


def priority(pod: Json) -> int:
    return int(pods.spec(pod).get("priority") or 0)


def _critical(pod: Json) -> bool:
    return priority(pod) >= CRITICAL or pods.is_static(pod)


def message(signal: str, level: Level, wanted: str, use: Use) -> str:
    """Kubernetes' sentences: what was low, and which containers were above their request."""
    resource = SIGNALS[signal][1]
    limit = _binary(threshold(wanted, level.capacity))
    text = f"The node was low on resource: {resource}. Threshold quantity: {limit}, available: {level.available // 1024}Ki. "
    if signal in (INODES, PROCESSES):
        text = f"The node was low on resource: {resource}. "
    for name, used, requested in use.containers:
        if used > requested:
            asked = _binary(requested)
            text += f"Container {name} was using {used // 1024}Ki, request is {asked}, has larger consumption of {resource}. "
    return text


def _binary(number: int) -> str:
    """A quantity in the largest binary unit that divides it."""
    for unit, size in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        if number and number % size == 0:
            return f"{number // size}{unit}"
    return str(number)


def admits(pod: Json, conditions: Iterable[str]) -> str:
    """Why a new Pod may not start under these pressures; empty where it may: Pods that asked for memory may when only that is short."""
    held = sorted(conditions)
    if not held or _critical(pod) or (held == ["MemoryPressure"] and pods.qos_class(pod) != "BestEffort"):
        return ""
    return f"The node had condition: [{', '.join(held)}]. "
