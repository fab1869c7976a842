"""Rights, kernel, namespaces, overlayfs, limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from polong.cli.probes.host import Finding, Host

_SYS_ADMIN, _NET_ADMIN, _SYS_RESOURCE, _SYS_PTRACE = 21, 12, 24, 19
_OLDEST = (5, 6)  # openat2(2): beneath-root resolution in the kernel
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
_INOTIFY = 128


def rights(host: Host) -> Iterator[Finding]:
    if host.euid != 0:
        yield Finding("root", "fail", f"uid {host.euid}", "only root can make namespaces, mounts and cgroups", "run as root or with sudo")
        return
    missing = [name for name, number in (("CAP_SYS_ADMIN", _SYS_ADMIN), ("CAP_NET_ADMIN", _NET_ADMIN)) if not host.capable(number)]
    if missing:
        mend = "run outside of a container, or give the container these capabilities (docker run --privileged)"
        yield Finding("root", "fail", f"without {', '.join(missing)}", "namespaces or networks cannot be made", mend)
    else:
        yield Finding("root", "ok", "root, with CAP_SYS_ADMIN and CAP_NET_ADMIN")
    if not host.capable(_SYS_RESOURCE):
        means = "oom_score_adj cannot be lowered and limits cannot be raised: under memory pressure /pause is not spared"
        yield Finding(
            "resources", "warn", "without CAP_SYS_RESOURCE", means, "give this container host CAP_SYS_RESOURCE where that matters"
        )
    if not host.capable(_SYS_PTRACE):
        yield Finding(
            "ptrace", "warn", "without CAP_SYS_PTRACE", "containers cannot be given SYS_PTRACE either", "give this host CAP_SYS_PTRACE"
        )


def version(host: Host) -> Iterator[Finding]:
    text = host.read("/proc/sys/kernel/osrelease") or ""
    numbers = re.match(r"(\d+)\.(\d+)", text)
    if not numbers:
        yield Finding("kernel", "warn", text or "unknown", "its version cannot be told", "mount /proc")
    elif (int(numbers[1]), int(numbers[2])) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        yield Finding("kernel", "fail", text, f"pidfd and openat2 need Linux {oldest}", f"use a kernel of {oldest} or newer")
    else:
        yield Finding("kernel", "ok", text)


def namespaces(host: Host) -> Iterator[Finding]:
    missing = [
        name for name in _NAMESPACES if not host.exists(f"/proc/self/ns/{name}") and not host.path(f"/proc/self/ns/{name}").is_symlink()
    ]
    if missing:
        yield Finding(
            "namespaces", "fail", f"without {', '.join(missing)}", "containers cannot be isolated", "use a kernel with these namespaces"
        )
    else:
        yield Finding("namespaces", "ok", " ".join(_NAMESPACES))


def overlay(host: Host) -> Iterator[Finding]:
    known = {line.split()[-1] for line in (host.read("/proc/filesystems") or "").splitlines() if line.split()}
    if "overlay" in known:
        yield Finding("overlayfs", "ok", "in the kernel")
    elif _loadable(host, "overlay"):
        yield Finding("overlayfs", "ok", "a module, which the kernel loads with the first mount")
    else:
        yield Finding("overlayfs", "fail", "not in the kernel", "images cannot be mounted", "modprobe overlay")


def _loadable(host: Host, module: str) -> bool:
    """Whether the kernel can load it when it is asked for: a file of that name, and modprobe where kernels look for it."""
    files = host.read(f"/lib/modules/{host.read('/proc/sys/kernel/osrelease')}/modules.dep") or ""
    named = re.search(rf"/{module}\.ko[.a-z0-9]*:", files) is not None
    return named and host.exists(host.read("/proc/sys/kernel/modprobe") or "/sbin/modprobe")


def limits(host: Host) -> Iterator[Finding]:
    text = host.read("/proc/sys/fs/inotify/max_user_instances") or ""
    if text.isdigit() and int(text) < _INOTIFY:
        yield Finding(
            "inotify",
            "warn",
            f"max_user_instances = {text}",
            "following many logs may fail",
            f"sysctl fs.inotify.max_user_instances={_INOTIFY * 4}",
        )


def yama(host: Host) -> Iterator[Finding]:
    scope = host.read("/proc/sys/kernel/yama/ptrace_scope")
    if scope in {"2", "3"}:
        means = "ptrace of processes in other containers " + ("needs SYS_PTRACE" if scope == "2" else "is refused, with SYS_PTRACE too")
        yield Finding("yama", "warn", f"ptrace_scope = {scope}", means, "sysctl kernel.yama.ptrace_scope=1")


PROBES: tuple[Callable[[Host], Iterator[Finding]], ...] = (rights, version, namespaces, overlay, limits, yama)
