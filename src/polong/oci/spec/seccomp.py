"""`linux.seccomp` from a profile: containers-common's form (`includes`/`excludes`, `archMap`) filtered into the OCI form.

A profile already in OCI form passes through with its known keys only: `listenerPath` and the like never reach the runtime.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from polong.kit.errors import Invalid
from polong.oci.spec.model import Json

# Kernel's word -> (seccomp's word, Go's word as in `includes.arches`).
_ARCHITECTURES = {
    "x86_64": ("SCMP_ARCH_X86_64", "amd64"),
    "aarch64": ("SCMP_ARCH_AARCH64", "arm64"),
    "armv7l": ("SCMP_ARCH_ARM", "arm"),
    "riscv64": ("SCMP_ARCH_RISCV64", "riscv64"),
    "ppc64le": ("SCMP_ARCH_PPC64LE", "ppc64le"),
    "s390x": ("SCMP_ARCH_S390X", "s390x"),
}

# containers-common allows these to every container, for nested rootless engines. Kubernetes' users expect what Docker's and
# containerd's RuntimeDefault do: only with CAP_SYS_ADMIN. io_uring is refused there to all.
_ADMIN_ONLY = frozenset(
    [
        "fsconfig",
        "fsmount",
        "fsopen",
        "fspick",
        "mount",
        "mount_setattr",
        "move_mount",
        "open_tree",
        "pivot_root",
        "setns",
        "umount",
        "umount2",
        "unshare",
        "sethostname",
        "setdomainname",
        "perf_event_open",
    ]
)
_NEVER = frozenset(["io_uring_enter", "io_uring_register", "io_uring_setup", "keyctl", "add_key", "request_key", "userfaultfd"])
_CLONE_NAMESPACE_FLAGS = 0x7E020000  # CLONE_NEWNS|NEWCGROUP|NEWUTS|NEWIPC|NEWUSER|NEWPID|NEWNET
_EPERM = 1
_ENOSYS = 38


def section(profile: Json | None, *, architecture: str, capabilities: frozenset[str]) -> Json | None:
    """None stays None (Unconfined). Invalid where the document is no seccomp profile."""
    if profile is None:
        return None
    action = profile.get("defaultAction")
    rules = profile.get("syscalls", [])
    if not isinstance(action, str) or not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise Invalid("seccomp profile lacks defaultAction or a list of syscalls", reason="CreateContainerError")
    seccomp_arch, go_arch = _ARCHITECTURES.get(architecture, ("", architecture))
    result: Json = {"defaultAction": action}
    if isinstance(errno := profile.get("defaultErrnoRet"), int):
        result["defaultErrnoRet"] = errno
    architectures = _architectures(profile, seccomp_arch)
    if architectures:
        result["architectures"] = architectures
    if flags := [flag for flag in profile.get("flags", []) if flag in {"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"}]:
        result["flags"] = flags
    kept = [rule for rule in rules if _applies(rule, go_arch, capabilities)]
    result["syscalls"] = [_rule(rule) for rule in kept]
    return result


def runtime_default(profile: Json) -> Json:
    """The distribution's profile, tightened to what RuntimeDefault means on Kubernetes nodes (see the tables above)."""
    rules: list[Json] = []
    for rule in profile.get("syscalls", []):
        if rule.get("action") != "SCMP_ACT_ALLOW" or _conditions(rule, "includes", "caps"):
            rules.append(rule)
            continue
        names = [name for name in _names(rule) if name not in _ADMIN_ONLY and name not in _NEVER and name not in {"clone", "clone3"}]
        if names:
            rules.append({**rule, "names": names})
    admin = {"caps": ["CAP_SYS_ADMIN"]}
    allow, refuse = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
    masked = {"index": 0, "value": _CLONE_NAMESPACE_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    rules += [
        {"names": sorted(_ADMIN_ONLY | {"clone", "clone3"}), "action": allow, "includes": admin},
        {"names": sorted(_ADMIN_ONLY), "action": refuse, "errnoRet": _EPERM, "excludes": admin},
        {"names": sorted(_NEVER), "action": refuse, "errnoRet": _EPERM},
        {"names": ["clone"], "action": allow, "args": [masked], "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390x"]}},
        # Its flags lie in memory, out of a filter's reach; ENOSYS makes libc fall back to clone.
        {"names": ["clone3"], "action": refuse, "errnoRet": _ENOSYS, "excludes": admin},
    ]
    return {**profile, "syscalls": rules}


def _architectures(profile: Json, native: str) -> list[str]:
    for entry in profile.get("archMap") or []:
        if entry.get("architecture") == native:
            return [native, *entry.get("subArchitectures", [])]
    declared = profile.get("architectures") or []
    return [item for item in declared if isinstance(item, str)] or ([native] if native and profile.get("archMap") else [])


def _conditions(rule: Json, key: str, kind: str) -> list[str]:
    return list((rule.get(key) or {}).get(kind) or [])


def _applies(rule: Json, go_arch: str, capabilities: frozenset[str]) -> bool:
    arches, caps = _conditions(rule, "includes", "arches"), _conditions(rule, "includes", "caps")
    if arches and go_arch not in arches:
        return False
    if caps and not set(caps) <= capabilities:
        return False
    if go_arch in _conditions(rule, "excludes", "arches"):
        return False
    return not set(_conditions(rule, "excludes", "caps")) & capabilities


def _names(rule: Json) -> list[str]:
    names: Iterable[Any] = rule.get("names") or ([rule["name"]] if "name" in rule else [])
    return [name for name in names if isinstance(name, str)]


def _rule(rule: Json) -> Json:
    result: Json = {"names": _names(rule), "action": rule.get("action", "")}
    if isinstance(errno := rule.get("errnoRet"), int):
        result["errnoRet"] = errno
    keys = ("index", "value", "valueTwo", "op")
    args = [{"valueTwo": 0, **{key: item[key] for key in keys if key in item}} for item in rule.get("args") or ()]
    if args:
        result["args"] = args
    return result
