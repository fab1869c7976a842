"""`linux.resources` (OCI) from CRI's resources; also what `linux.cgroups` and the runtime's `update` take."""

from __future__ import annotations

from polong.oci.spec.model import Json, Resources


def section(resources: Resources) -> Json:
    """Without what was not said, so that an update changes nothing else."""
    cpu = {
        key: value
        for key, value in (
            ("shares", resources.cpu_shares or None),
            ("quota", resources.cpu_quota or None),
            ("period", resources.cpu_period or None),
            ("cpus", resources.cpuset_cpus or None),
            ("mems", resources.cpuset_mems or None),
        )
        if value is not None
    }
    memory = {
        key: value for key, value in (("limit", resources.memory or None), ("swap", resources.memory_swap or None)) if value is not None
    }
    result: Json = {}
    if cpu:
        result["cpu"] = cpu
    if memory:
        result["memory"] = memory
    if resources.pids:
        result["pids"] = {"limit": resources.pids}
    if resources.hugepages:
        result["hugepageLimits"] = [{"pageSize": size, "limit": limit} for size, limit in sorted(resources.hugepages.items())]
    if resources.unified:
        result["unified"] = dict(sorted(resources.unified.items()))
    return result
