"""Which Pods this node does not start, whatever else it has room for: what they ask of the kernel is not there, or not allowed. Pure.

Source: pkg/kubelet/sysctl (allowlist.go), pkg/security/apparmor (validate.go), pkg/kubelet/lifecycle (handlers.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from polong.objects import apparmor, sysctls
from polong.objects import pod as pods

Json = dict[str, Any]


@dataclass(frozen=True)
class Refusal:
    """status.reason of the Pod that fails by it, and the reason and the message of its Event."""

    reason: str
    message: str


def refusal(pod: Json, *, unsafe_sysctls: Sequence[str], has_apparmor: bool) -> Refusal | None:
    wanted = (pods.spec(pod).get("securityContext") or {}).get("sysctls") or ()
    if name := sysctls.forbidden((each["name"] for each in wanted), unsafe_sysctls):
        return Refusal("SysctlForbidden", f'forbidden sysctl: "{name}" not allowlisted')
    if not has_apparmor and apparmor.required(pod):
        return Refusal("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
    return None
