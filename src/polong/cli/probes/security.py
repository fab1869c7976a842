"""Linux security modules, and how the node would be started."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from polong.cli.probes.host import Finding, Host


def modules(host: Host) -> Iterator[Finding]:
    active = [name for name in (host.read("/sys/kernel/security/lsm") or "").split(",") if name in {"apparmor", "selinux"}]
    if host.read("/sys/module/apparmor/parameters/enabled") == "Y" and "apparmor" not in active:
        active.append("apparmor")
    if "apparmor" in active and host.which("apparmor_parser") is None:
        means = "the default profile cannot be loaded: containers are unconfined, and those that ask for RuntimeDefault fail"
        yield Finding("LSM", "warn", "AppArmor, without apparmor_parser", means, "apt-get install apparmor, then start the node again")
    elif active:
        yield Finding("LSM", "ok", ", ".join(active))
    else:
        means = "containers are held by namespaces, capabilities and seccomp alone; Pods that ask for an AppArmor profile fail"
        yield Finding("LSM", "warn", "neither AppArmor nor SELinux", means, "none needed; a kernel with AppArmor adds a layer")


def service_manager(host: Host) -> Iterator[Finding]:
    if host.exists("/run/systemd/system"):
        yield Finding("systemd", "ok", "present: `polong serve` can be a unit of Type=notify")
    else:
        yield Finding("systemd", "ok", "absent: `polong up` runs the node in the background")


PROBES: tuple[Callable[[Host], Iterator[Finding]], ...] = (modules, service_manager)
