"""The layout of control groups: v2, hybrid or v1, and its controllers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from polong.cli.probes.host import Finding, Host

_WANTED = ("cpu", "memory", "pids")


def layout(host: Host) -> Iterator[Finding]:
    unified = host.read("/sys/fs/cgroup/cgroup.controllers")
    if unified is not None:
        yield from _controllers("v2", set(unified.split()))
        return
    present = {name for name in ("cpu", "memory", "pids", "freezer", "cpuset") if host.exists(f"/sys/fs/cgroup/{name}")}
    if not present:
        means = "containers cannot be limited, nor their processes told apart"
        yield Finding("cgroups", "fail", "nothing mounted at /sys/fs/cgroup", means, "mount -t cgroup2 none /sys/fs/cgroup")
        return
    second = host.read("/sys/fs/cgroup/unified/cgroup.controllers")
    yield from _controllers("v1" if second is None else "hybrid (v1, and v2 at /sys/fs/cgroup/unified)", present)
    if second:
        means = f"{', '.join(second.split())} cannot be limited: the old and the new hierarchy do not share controllers"
        yield Finding("cgroups v2", "warn", f"controllers on the v2 side: {second}", means, "boot with systemd.unified_cgroup_hierarchy=1")


def _controllers(kind: str, present: set[str]) -> Iterator[Finding]:
    missing = [name for name in _WANTED if name not in present]
    if missing:
        means = f"limits of {', '.join(missing)} are not enforced"
        yield Finding(
            "cgroups",
            "warn",
            f"{kind}, without {', '.join(missing)}",
            means,
            "enable these controllers (kernel command line: cgroup_enable=…)",
        )
    else:
        yield Finding("cgroups", "ok", kind)


PROBES: tuple[Callable[[Host], Iterator[Finding]], ...] = (layout,)
