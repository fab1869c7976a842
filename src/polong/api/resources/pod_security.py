"""Security contexts, of Pods and containers; namespaces of the host. Source: pkg/apis/core/validation/validation.go
(ValidatePodSecurityContext, ValidateSecurityContext, ValidateAppArmorProfileField, validateSysctls, validateHostUsers, validateWindows)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from polong.api.resources import fields, pod_references
from polong.kit.errors import Cause
from polong.objects import sysctls

Json = dict[str, Any]

_MAX_ID = 2**31 - 1
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_PATH_LENGTH = 4_095
_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = rf"({_SEGMENT}[\./])*{_SEGMENT}"
_SYSCTL_LENGTH = 253
_PATH = "spec.securityContext"


def validate(spec: Json) -> Iterator[Cause]:
    """What concerns the Pod as a whole."""
    yield from _windows(spec)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        # Kubernetes keeps both in its internal security context, hence the path.
        yield fields.invalid(f"{_PATH}.shareProcessNamespace", True, "ShareProcessNamespace and HostPID cannot both be enabled")
    if spec.get("hostUsers") is False:
        # The capitals are Kubernetes' own.
        for field, name in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if spec.get(field):
                yield fields.forbidden(f"spec.{name}", "when `pod.Spec.HostUsers` is false")
    context = spec.get("securityContext") or {}
    yield from _identity(context, _PATH)
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        yield from _identifier(group, fields.at(f"{_PATH}.supplementalGroups", index))
    for field, values in (("fsGroupChangePolicy", ("Always", "OnRootMismatch")), ("supplementalGroupsPolicy", ("Merge", "Strict"))):
        if context.get(field) is not None and context[field] not in values:
            yield fields.unsupported(f"{_PATH}.{field}", context[field], values)
    yield from _sysctls(context.get("sysctls") or [], spec)


def _windows(spec: Json) -> Iterator[Cause]:
    if (spec.get("os") or {}).get("name") != "windows":
        return
    for field in ("hostPID", "hostIPC", "hostNetwork"):
        if spec.get(field):
            yield fields.forbidden(f"spec.{field}", "cannot be set for a windows pod")
    if "shareProcessNamespace" in spec:
        yield fields.forbidden("spec.shareProcessNamespace", "cannot be set for a windows pod")


def _sysctls(wanted: list[Json], spec: Json) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, sysctl in enumerate(wanted):
        path, name = f"{_PATH}.sysctls[{index}].name", sysctl.get("name", "")
        if not name:
            yield fields.required(path)
        elif len(name) > _SYSCTL_LENGTH or not re.fullmatch(_SYSCTL, name, re.ASCII):
            yield fields.invalid(path, name, f"must have at most {_SYSCTL_LENGTH} characters and match regex ^{_SYSCTL}$")
        elif name in seen:
            yield fields.duplicate(path, name)
        seen.add(name)
        dotted = sysctls.dotted(name)
        if spec.get("hostNetwork") and dotted.startswith("net."):
            yield fields.invalid(path, name, "may not be specified when 'hostNetwork' is true")
        if spec.get("hostIPC") and (dotted == "kernel.sem" or dotted.startswith(sysctls.IPC)):
            yield fields.invalid(path, name, "may not be specified when 'hostIPC' is true")


def _identifier(value: int, path: str) -> Iterator[Cause]:
    """A user or group number."""
    if not 0 <= value <= _MAX_ID:
        yield fields.invalid(path, value, f"must be between 0 and {_MAX_ID}, inclusive")


def _identity(context: Json, path: str) -> Iterator[Cause]:
    """What Pod and container security contexts share."""
    for field in ("runAsUser", "runAsGroup", "fsGroup"):
        if context.get(field) is not None:
            yield from _identifier(context[field], f"{path}.{field}")
    profile = context.get("seccompProfile")
    if profile is not None:
        yield from _seccomp(profile, f"{path}.seccompProfile")
    confined = context.get("appArmorProfile")
    if confined is not None:
        yield from _apparmor(confined, f"{path}.appArmorProfile")


def _seccomp(profile: Json, path: str) -> Iterator[Cause]:
    kind, file = profile.get("type", ""), profile.get("localhostProfile")
    if not kind:
        yield fields.required(f"{path}.type", "type is required when seccompProfile is set")
    elif kind not in _PROFILES:
        yield fields.unsupported(f"{path}.type", kind, _PROFILES)
    elif kind == "Localhost" and not file:
        yield fields.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
    elif kind == "Localhost":
        yield from pod_references.descending(str(file), f"{path}.localhostProfile")
    elif file:
        yield fields.invalid(f"{path}.localhostProfile", file, "can only be set when seccomp type is Localhost")


def _apparmor(profile: Json, path: str) -> Iterator[Cause]:
    """ValidateAppArmorProfileField."""
    kind, name = profile.get("type", ""), profile.get("localhostProfile")
    if not kind:
        yield fields.required(f"{path}.type", "type is required when appArmorProfile is set")
    elif kind not in _PROFILES:
        yield fields.unsupported(f"{path}.type", kind, _PROFILES)
    elif kind != "Localhost":
        if name is not None:
            yield fields.invalid(f"{path}.localhostProfile", name, "can only be set when AppArmor type is Localhost")
    elif not (name or "").strip():
        yield fields.required(f"{path}.localhostProfile", "must be set when AppArmor type is Localhost")
    elif name != str(name).strip():
        yield fields.invalid(f"{path}.localhostProfile", name, "must not be padded with whitespace")
    elif len(str(name).encode()) > _PATH_LENGTH:
        yield fields.too_long(f"{path}.localhostProfile", _PATH_LENGTH)


def container(context: Json, path: str, *, host_users: bool) -> Iterator[Cause]:
    """A container's security context."""
    yield from _identity(context, path)
    mount = context.get("procMount")
    if mount not in (None, "Default", "Unmasked"):
        yield fields.unsupported(f"{path}.procMount", mount, ("Default", "Unmasked"))
    elif mount == "Unmasked" and host_users:
        yield fields.invalid(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`")
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            yield fields.invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
        added = (context.get("capabilities") or {}).get("add") or ()
        if "CAP_SYS_ADMIN" in added:
            yield fields.invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN")
