"""What a cgroup tells beyond `Cgroups.stats`: for metrics, which are asked for every some ten seconds, not for decisions.

Sources: kernel Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/{memory,cpuacct,blkio-controller}.rst, accounting/psi.rst.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from polong.linux.cgroups import V2, Cgroups

# A figure summed over processes is not worth more than this many of them.
_MOST_PROCESSES = 500
_PRESSURES = ("cpu", "memory", "io")


@dataclass(frozen=True)
class Disk:
    """What went to and from one block device."""

    device: str
    read_bytes: int = 0
    write_bytes: int = 0
    reads: int = 0
    writes: int = 0


@dataclass(frozen=True)
class Pressure:
    """Time in microseconds in which some, or all, tasks waited for a resource."""

    some: int = 0
    full: int = 0


@dataclass(frozen=True)
class Details:
    """Times in nanoseconds, sizes in bytes; 0 where this kernel does not tell. `threads_max` 0 is no limit."""

    cpu_user: int = 0
    cpu_system: int = 0
    cfs_periods: int = 0
    cfs_throttled_periods: int = 0
    cfs_throttled: int = 0
    memory_cache: int = 0
    memory_mapped: int = 0
    memory_kernel: int = 0
    memory_peak: int = 0
    memory_failures: int = 0
    threads_max: int = 0
    processes: int = 0
    descriptors: int = 0
    sockets: int = 0
    disks: tuple[Disk, ...] = ()
    pressures: dict[str, Pressure] = field(default_factory=dict)


def read(groups: Cgroups, path: str) -> Details | None:
    """None where there is no such cgroup."""
    if not groups.exists(path):
        return None
    figures = _v2(groups, path) if groups.layout.kind == V2 else _v1(groups, path)
    pids = groups.processes(path)
    descriptors, sockets = _open_files(pids[:_MOST_PROCESSES])
    # The leaf of the v2 tree is there on hybrid hosts as well, and pressure is not bound to a controller.
    unified = groups.unified_directory(path)
    pressures = {} if unified is None else {kind: found for kind in _PRESSURES if (found := _pressure(unified / f"{kind}.pressure"))}
    return Details(
        processes=len(pids),
        descriptors=descriptors,
        sockets=sockets,
        disks=_disks_v2(groups, path) if groups.layout.kind == V2 else _disks_v1(groups, path),
        pressures=pressures,
        **figures,
    )


def _v1(groups: Cgroups, path: str) -> dict[str, int]:
    def place(controller: str) -> Path:
        return Path(f"{groups.layout.controllers.get(controller, Path('/nonexistent'))}{path}")

    memory, throttling = _keyed(place("memory") / "memory.stat"), _keyed(place("cpu") / "cpu.stat")
    return {
        "cpu_user": _number(place("cpuacct") / "cpuacct.usage_user"),
        "cpu_system": _number(place("cpuacct") / "cpuacct.usage_sys"),
        "cfs_periods": throttling.get("nr_periods", 0),
        "cfs_throttled_periods": throttling.get("nr_throttled", 0),
        "cfs_throttled": throttling.get("throttled_time", 0),
        "memory_cache": memory.get("total_cache", 0),
        "memory_mapped": memory.get("total_mapped_file", 0),
        "memory_kernel": _number(place("memory") / "memory.kmem.usage_in_bytes"),
        "memory_peak": _number(place("memory") / "memory.max_usage_in_bytes"),
        "memory_failures": _number(place("memory") / "memory.failcnt"),
        "threads_max": _number(place("pids") / "pids.max"),
    }


def _v2(groups: Cgroups, path: str) -> dict[str, int]:
    place = groups.unified_directory(path) or Path("/nonexistent")
    cpu, memory = _keyed(place / "cpu.stat"), _keyed(place / "memory.stat")
    return {
        "cpu_user": cpu.get("user_usec", 0) * 1000,
        "cpu_system": cpu.get("system_usec", 0) * 1000,
        "cfs_periods": cpu.get("nr_periods", 0),
        "cfs_throttled_periods": cpu.get("nr_throttled", 0),
        "cfs_throttled": cpu.get("throttled_usec", 0) * 1000,
        "memory_cache": memory.get("file", 0),
        "memory_mapped": memory.get("file_mapped", 0),
        "memory_kernel": memory.get("kernel", 0),
        "memory_peak": _number(place / "memory.peak"),
        "memory_failures": _keyed(place / "memory.events").get("max", 0),
        "threads_max": _number(place / "pids.max"),
    }


def _disks_v1(groups: Cgroups, path: str) -> tuple[Disk, ...]:
    place = Path(f"{groups.layout.controllers.get('blkio', Path('/nonexistent'))}{path}")
    sizes, counts = _lines(place / "blkio.throttle.io_service_bytes"), _lines(place / "blkio.throttle.io_serviced")
    size = {(line[0], line[1]): int(line[2]) for line in sizes if len(line) == 3 and line[2].isdigit()}
    count = {(line[0], line[1]): int(line[2]) for line in counts if len(line) == 3 and line[2].isdigit()}
    devices = dict.fromkeys(device for device, _ in (*size, *count))
    return tuple(
        Disk(
            device,
            size.get((device, "Read"), 0),
            size.get((device, "Write"), 0),
            count.get((device, "Read"), 0),
            count.get((device, "Write"), 0),
        )
        for device in devices
    )


def _disks_v2(groups: Cgroups, path: str) -> tuple[Disk, ...]:
    place = groups.unified_directory(path) or Path("/nonexistent")
    found = []
    for device, *words in _lines(place / "io.stat"):
        figures = {key: int(value) for key, _, value in (word.partition("=") for word in words) if value.isdigit()}
        found.append(Disk(device, *(figures.get(key, 0) for key in ("rbytes", "wbytes", "rios", "wios"))))
    return tuple(found)


def _pressure(file: Path) -> Pressure | None:
    totals = {line[0]: line[-1].partition("=")[2] for line in _lines(file) if len(line) > 1}
    if not totals:
        return None
    return Pressure(*(int(totals[kind]) if totals.get(kind, "").isdigit() else 0 for kind in ("some", "full")))


def _open_files(pids: Iterable[int]) -> tuple[int, int]:
    """(descriptors, sockets among them) of processes that may end meanwhile."""
    descriptors = sockets = 0
    for pid in pids:
        directory = f"/proc/{pid}/fd"
        try:
            numbers = os.listdir(directory)  # noqa: PTH208 - by the hundred
        except OSError:
            continue
        descriptors += len(numbers)
        for number in numbers:
            try:
                sockets += os.readlink(f"{directory}/{number}").startswith("socket:")  # noqa: PTH115 - as above
            except OSError:
                continue
    return descriptors, sockets


def _lines(file: Path) -> list[list[str]]:
    try:
        return [words for line in file.read_text(encoding="ascii", errors="replace").splitlines() if (words := line.split())]
    except OSError:
        return []


def _keyed(file: Path) -> dict[str, int]:
    return {line[0]: int(line[1]) for line in _lines(file) if len(line) == 2 and line[1].isdigit()}


def _number(file: Path) -> int:
    lines = _lines(file)
    return int(lines[0][0]) if lines and lines[0][0].isdigit() else 0
