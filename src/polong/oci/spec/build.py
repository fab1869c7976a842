"""Specification -> config.json (OCI runtime-spec 1.0.2). The boundary of what a Pod may ask: annotations never pass it."""

from __future__ import annotations

from polong.oci.spec import capabilities, devices, mounts, namespaces, process, resources, seccomp, security, sysctls
from polong.oci.spec.model import NEW, ContainerSpec, Host, Json, SandboxSpec

_VERSION = "1.0.2"


def sandbox(spec: SandboxSpec, host: Host) -> Json:
    """config.json of the sandbox: /pause as root without any right, on a read-only root."""
    linux: Json = {
        "namespaces": namespaces.section(spec.namespaces),
        "cgroupsPath": spec.cgroup,
        "resources": {"devices": devices.rules((), privileged=False), **resources.section(spec.resources)},
        "maskedPaths": list(security.MASKED_PATHS),
        "readonlyPaths": list(security.READONLY_PATHS),
        "rootfsPropagation": "rprivate",
        **_sysctl(sysctls.section(spec.sysctls, spec.namespaces)),
    }
    if (filtered := seccomp.section(spec.seccomp, architecture=host.architecture, capabilities=frozenset())) is not None:
        linux["seccomp"] = filtered
    config: Json = {
        "ociVersion": _VERSION,
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0, "additionalGids": [0]},
            "args": list(spec.args),
            "env": [process.DEFAULT_PATH],
            "cwd": "/",
            "capabilities": capabilities.section(frozenset()),
            "noNewPrivileges": True,
            "oomScoreAdj": max(spec.oom_score_adj, host.oom_score_adj),
            **process.apparmor(spec.apparmor_profile, host),
        },
        "root": {"path": spec.rootfs, "readonly": True},
        "mounts": mounts.sandbox(spec),
        "linux": linux,
    }
    return _named(config, spec.hostname, spec.namespaces.uts)


def container(spec: ContainerSpec, host: Host) -> Json:
    """config.json of a container. Raises `Invalid` or `Unsupported`, one line, with the reason the kubelet shows."""
    nodes = (*host.devices, *spec.devices) if spec.privileged else spec.devices
    linux: Json = {
        "namespaces": namespaces.section(spec.namespaces),
        "cgroupsPath": spec.cgroup,
        "resources": {"devices": devices.rules(nodes, privileged=spec.privileged), **resources.section(spec.resources)},
        "maskedPaths": security.masked(spec),
        "readonlyPaths": security.readonly(spec),
        "rootfsPropagation": mounts.root_propagation(spec.mounts),
        **_sysctl(sysctls.section(spec.sysctls, spec.namespaces)),
    }
    if nodes:
        linux["devices"] = devices.section(nodes)
    profile = None if spec.privileged else spec.seccomp
    if (filtered := seccomp.section(profile, architecture=host.architecture, capabilities=spec.capabilities)) is not None:
        linux["seccomp"] = filtered
    config: Json = {
        "ociVersion": _VERSION,
        "process": process.section(spec, host),
        "root": {"path": spec.rootfs, "readonly": spec.readonly_rootfs},
        "mounts": mounts.container(spec),
        "linux": linux,
    }
    return _named(config, spec.hostname, spec.namespaces.uts)


def _sysctl(section: Json) -> Json:
    return {"sysctl": section} if section else {}


def _named(config: Json, hostname: str, uts: str) -> Json:
    # A hostname may be set only in a UTS namespace of one's own; a container that joins the sandbox's finds it set.
    if hostname and uts == NEW:
        config["hostname"] = hostname
    return config
