"""OCI `linux.resources` -> what to write into which file. Pure; order matters (memory+swap may not be below memory)."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
Write = tuple[str, str, str]
"""(controller, file, value)"""


def v1(resources: Json) -> list[Write]:
    """For cgroup v1 (kernel Documentation/admin-guide/cgroup-v1)."""
    writes: list[Write] = []
    cpu, memory = resources.get("cpu", {}), resources.get("memory", {})
    if (shares := cpu.get("shares")) is not None:
        writes.append(("cpu", "cpu.shares", str(max(2, shares))))
    if (period := cpu.get("period")) is not None:
        writes.append(("cpu", "cpu.cfs_period_us", str(period)))
    if (quota := cpu.get("quota")) is not None:
        writes.append(("cpu", "cpu.cfs_quota_us", str(quota)))
    for key, file in (("cpus", "cpuset.cpus"), ("mems", "cpuset.mems")):
        if cpu.get(key):
            writes.append(("cpuset", file, cpu[key]))
    limit, swap = memory.get("limit"), memory.get("swap")
    if limit is not None:
        # Without swap accounting the second file is absent; with it, raising needs the sum first: unlimited, then the real one.
        writes.append(("memory", "memory.memsw.limit_in_bytes", "-1"))
        writes.append(("memory", "memory.limit_in_bytes", str(limit)))
    if swap is not None:
        writes.append(("memory", "memory.memsw.limit_in_bytes", str(swap)))
    if (pids := resources.get("pids", {}).get("limit")) is not None:
        writes.append(("pids", "pids.max", str(pids) if pids > 0 else "max"))
    pages = resources.get("hugepageLimits", [])
    writes += [("hugetlb", f"hugetlb.{page['pageSize']}.limit_in_bytes", str(page["limit"])) for page in pages]
    return writes + [_device(rule) for rule in resources.get("devices", [])]


def _device(rule: Json) -> Write:
    """One rule of the device controller (kernel Documentation/admin-guide/cgroup-v1/devices.rst); rules count in their order."""
    kind = rule.get("type", "a")
    numbers = ":".join("*" if (number := rule.get(key)) is None or number < 0 else str(number) for key in ("major", "minor"))
    words = "a" if kind == "a" else f"{kind} {numbers} {rule.get('access', 'rwm')}"
    return "devices", "devices.allow" if rule["allow"] else "devices.deny", words


def v2(resources: Json) -> list[Write]:
    """For cgroup v2; the conversion of shares to weight is the OCI specification's."""
    writes: list[Write] = []
    cpu, memory = resources.get("cpu", {}), resources.get("memory", {})
    if shares := cpu.get("shares"):
        writes.append(("cpu", "cpu.weight", str(weight(shares))))
    if (quota := cpu.get("quota")) is not None or cpu.get("period") is not None:
        words = ["max" if quota is None or quota <= 0 else str(quota), str(cpu.get("period") or 100_000)]
        writes.append(("cpu", "cpu.max", " ".join(words)))
    for key, file in (("cpus", "cpuset.cpus"), ("mems", "cpuset.mems")):
        if cpu.get(key):
            writes.append(("cpuset", file, cpu[key]))
    limit, swap = memory.get("limit"), memory.get("swap")
    if limit is not None:
        writes.append(("memory", "memory.max", str(limit) if limit > 0 else "max"))
    if swap is not None and limit is not None:
        # v1 and OCI count memory and swap together, v2 swap alone.
        writes.append(("memory", "memory.swap.max", str(max(0, swap - limit)) if swap > 0 else "max"))
    if (pids := resources.get("pids", {}).get("limit")) is not None:
        writes.append(("pids", "pids.max", str(pids) if pids > 0 else "max"))
    pages = resources.get("hugepageLimits", [])
    writes += [("hugetlb", f"hugetlb.{page['pageSize']}.max", str(page["limit"])) for page in pages]
    for file, value in resources.get("unified", {}).items():
        writes.append((file.partition(".")[0], file, value))
    return writes


def weight(shares: int) -> int:
    """cpu.shares 2..262144 -> cpu.weight 1..10000."""
    return 1 + ((max(2, min(shares, 262144)) - 2) * 9999) // 262142
