"""Linux security modules, and how the node would be started."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from polong.cli.probes.host import Finding, Host


def modules(host: Host) -> Iterator[Finding]:
    active = [name for name in (host.read("/sys/kernel/security/lsm") or "").split(",") if name in {"apparmor", "selinux"}]
    if host.read("/sys/module/apparmor/parameters/enabled") == "Y" and "apparmor" not in active:
        active.append("apparmor")
    if active:
        yield Finding("LSM", "ok", ", ".join(active))
    else:
        means = "containers are held by namespaces, capabilities and seccomp alone; profiles that a Pod asks for are refused"
        yield Finding("LSM", "warn", "neither AppArmor nor SELinux", means, "none needed; a kernel with AppArmor adds a layer")


def service_manager(host: Host) -> Iterator[Finding]:
    if host.exists("/run/systemd/system"):
        yield Finding("systemd", "ok", "present: `polong serve` can be a unit of Type=notify")
    else:
        yield Finding("systemd", "ok", "absent: `polong up` runs the node in the background")


PROBES: tuple[Callable[[Host], Iterator[Finding]], ...] = (modules, service_manager)
