"""The Pod Security Standards: what `baseline` and `restricted` forbid, as checks of a Pod's spec. Pure.

Source: Kubernetes docs "Pod Security Standards"; k8s.io/pod-security-admission policy (check_*.go), whose words these are. Windows and
SELinux are not looked at: such Pods are refused anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

LATEST = 1_000_000
"""As a minor version."""

_FIELDS = ("initContainers", "containers", "ephemeralContainers")
_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP",
        "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
# Safe sysctl -> the first minor version that allows it.
_SYSCTLS = {
    "kernel.shm_rmid_forced": 0,
    "net.ipv4.ip_local_port_range": 0,
    "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ping_group_range": 0,
    "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29,
    "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_rmem": 32,
    "net.ipv4.tcp_wmem": 32,
}
_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"}
)  # fmt: skip


@dataclass(frozen=True)
class Violation:
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})"


def evaluate(level: str, minor: int, spec: Json) -> list[Violation]:
    """What in `spec` violates the level in the version 1.`minor`."""
    if level == "privileged":
        return []
    checks = _BASELINE if level == "baseline" else [*(check for check in _BASELINE if check not in _OVERRIDDEN), *_RESTRICTED]
    return [found for check in checks if (found := check(spec, minor)) is not None]


def _containers(spec: Json) -> Iterator[Json]:
    """Of every kind: a policy that forgets one is none."""
    for field in _FIELDS:
        yield from spec.get(field) or ()


def _context(holder: Json) -> Json:
    found: Json = holder.get("securityContext") or {}
    return found


def _quoted(values: Iterable[str]) -> str:
    return ", ".join(f'"{value}"' for value in values)


def _plural(one: str, many: str, values: Sequence[str]) -> str:
    return one if len(values) == 1 else many


def _named(names: Sequence[str]) -> str:
    """`container "a"`, `containers "a", "b"`."""
    return f"{_plural('container', 'containers', names)} {_quoted(names)}"


def _added(container: Json) -> list[str]:
    return list((_context(container).get("capabilities") or {}).get("add") or ())


# --- baseline --------------------------------------------------------------------------------------------------------------------


def _app_armor(spec: Json, _: int) -> Violation | None:
    setters, values = _setters(spec, "appArmorProfile", ("RuntimeDefault", "Localhost"))
    if not setters:
        return None
    reason = _plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values)
    return Violation(reason, f"{' and '.join(setters)} must not set AppArmor profile type to {_quoted(values)}")


def _setters(spec: Json, profile: str, allowed: Sequence[str]) -> tuple[list[str], list[str]]:
    """Who sets a type of `profile` that is not allowed, and which."""
    setters, values, names = [], set(), []
    kind = (_context(spec).get(profile) or {}).get("type", "")
    if kind and kind not in allowed:
        setters.append("pod")
        values.add(kind)
    for container in _containers(spec):
        kind = (_context(container).get(profile) or {}).get("type", "")
        if kind and kind not in allowed:
            names.append(container["name"])
            values.add(kind)
    if names:
        setters.append(_named(names))
    return setters, sorted(values)


def _capabilities(spec: Json, _: int) -> Violation | None:
    names = [one["name"] for one in _containers(spec) if set(_added(one)) - _CAPABILITIES]
    if not names:
        return None
    forbidden = sorted({added for one in _containers(spec) for added in _added(one)} - _CAPABILITIES)
    detail = f"{_named(names)} must not include {_quoted(forbidden)} in securityContext.capabilities.add"
    return Violation("non-default capabilities", detail)


def _host_namespaces(spec: Json, _: int) -> Violation | None:
    shared = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return Violation("host namespaces", ", ".join(shared)) if shared else None


def _host_path(spec: Json, _: int) -> Violation | None:
    names = [volume["name"] for volume in spec.get("volumes") or () if volume.get("hostPath") is not None]
    return Violation("hostPath volumes", f"{_plural('volume', 'volumes', names)} {_quoted(names)}") if names else None


def _host_ports(spec: Json, _: int) -> Violation | None:
    names, ports = [], set()
    for container in _containers(spec):
        found = {port["hostPort"] for port in container.get("ports") or () if port.get("hostPort")}
        if found:
            names.append(container["name"])
            ports |= found
    if not names:
        return None
    listed = sorted(str(port) for port in ports)
    word = _plural("hostPort", "hostPorts", listed)
    return Violation(word, f"{_named(names)} {_plural('uses', 'use', names)} {word} {', '.join(listed)}")


def _privileged(spec: Json, _: int) -> Violation | None:
    names = [one["name"] for one in _containers(spec) if _context(one).get("privileged")]
    return Violation("privileged", f"{_named(names)} must not set securityContext.privileged=true") if names else None


def _proc_mount(spec: Json, _: int) -> Violation | None:
    found = {one["name"]: _context(one)["procMount"] for one in _containers(spec) if _context(one).get("procMount", "Default") != "Default"}
    if not found:
        return None
    values = sorted(set(found.values()))
    return Violation(
        _plural("procMount", "procMounts", values), f"{_named(list(found))} must not set securityContext.procMount to {_quoted(values)}"
    )


def _seccomp_baseline(spec: Json, minor: int) -> Violation | None:
    setters, values = _setters(spec, "seccompProfile", ("RuntimeDefault", "Localhost"))
    if not setters or minor < 19:
        return None
    return Violation("seccompProfile", f"{' and '.join(setters)} must not set securityContext.seccompProfile.type to {_quoted(values)}")


def _sysctls(spec: Json, minor: int) -> Violation | None:
    names = [sysctl.get("name", "") for sysctl in _context(spec).get("sysctls") or ()]
    forbidden = [name for name in names if _SYSCTLS.get(name, LATEST + 1) > minor]
    return Violation("forbidden sysctls", ", ".join(forbidden)) if forbidden else None


# --- restricted ------------------------------------------------------------------------------------------------------------------


def _escalation(spec: Json, _: int) -> Violation | None:
    names = [one["name"] for one in _containers(spec) if _context(one).get("allowPrivilegeEscalation") is not False]
    detail = f"{_named(names)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail) if names else None


def _capabilities_restricted(spec: Json, minor: int) -> Violation | None:
    if minor < 22:
        return _capabilities(spec, minor)
    keeping, adding, forbidden = [], [], set()
    for container in _containers(spec):
        if "ALL" not in ((_context(container).get("capabilities") or {}).get("drop") or ()):
            keeping.append(container["name"])
        if more := set(_added(container)) - {"NET_BIND_SERVICE"}:
            adding.append(container["name"])
            forbidden |= more
    details = []
    if keeping:
        details.append(f'{_named(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        details.append(f"{_named(adding)} must not include {_quoted(sorted(forbidden))} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def _volumes(spec: Json, _: int) -> Violation | None:
    found = {
        volume["name"]: next((source for source in volume if source != "name"), "unknown")
        for volume in spec.get("volumes") or ()
        if not _VOLUMES & set(volume)
    }
    if not found:
        return None
    names, types = list(found), sorted(set(found.values()))
    words = _plural("volume", "volumes", names), _plural("uses", "use", names), _plural("type", "types", types)
    return Violation("restricted volume types", f"{words[0]} {_quoted(names)} {words[1]} restricted volume {words[2]} {_quoted(types)}")


def _non_root(spec: Json, _: int) -> Violation | None:
    whole = _context(spec).get("runAsNonRoot")
    setters = ["pod"] if whole is False else []
    explicit = [one["name"] for one in _containers(spec) if _context(one).get("runAsNonRoot") is False]
    if explicit:
        setters.append(_named(explicit))
    if setters:
        return Violation("runAsNonRoot != true", f"{' and '.join(setters)} must not set securityContext.runAsNonRoot=false")
    silent = [one["name"] for one in _containers(spec) if _context(one).get("runAsNonRoot") is None] if not whole else []
    return Violation("runAsNonRoot != true", f"pod or {_named(silent)} must set securityContext.runAsNonRoot=true") if silent else None


def _user(spec: Json, minor: int) -> Violation | None:
    setters = ["pod"] if _context(spec).get("runAsUser") == 0 else []
    names = [one["name"] for one in _containers(spec) if _context(one).get("runAsUser") == 0]
    if names:
        setters.append(_named(names))
    return Violation("runAsUser=0", f"{' and '.join(setters)} must not set runAsUser=0") if setters and minor >= 23 else None


def _seccomp_restricted(spec: Json, minor: int) -> Violation | None:
    if minor < 19:
        return None
    explicit = _seccomp_baseline(spec, minor)
    if explicit is not None:
        return explicit
    whole = (_context(spec).get("seccompProfile") or {}).get("type")
    silent = [one["name"] for one in _containers(spec) if not (_context(one).get("seccompProfile") or {}).get("type")]
    if whole or not silent:
        return None
    detail = f'pod or {_named(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", detail)


_Check = Callable[[Json, int], Violation | None]
# In the order of Kubernetes' names of them.
_BASELINE: Sequence[_Check] = (
    _app_armor, _capabilities, _host_namespaces, _host_path, _host_ports, _privileged, _proc_mount, _seccomp_baseline, _sysctls,
)  # fmt: skip
_OVERRIDDEN: frozenset[_Check] = frozenset({_capabilities, _host_path, _seccomp_baseline})
_RESTRICTED: Sequence[_Check] = (_escalation, _capabilities_restricted, _volumes, _non_root, _user, _seccomp_restricted)
