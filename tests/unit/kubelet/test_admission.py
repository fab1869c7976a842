from __future__ import annotations

from typing import Any

import pytest

from polong.kubelet.admission import Refusal, refusal

Json = dict[str, Any]
NO_APPARMOR = Refusal("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")


def pod(around: Json | None = None, own: Json | None = None, field: str = "containers") -> Json:
    return {"spec": {"securityContext": around or {}, field: [{"name": "c", "securityContext": own or {}}]}}


def profile(kind: str) -> Json:
    return {"appArmorProfile": {"type": kind}}


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        (pod(), False),
        (pod(profile("Unconfined")), False),
        (pod(profile("RuntimeDefault")), True),
        (pod(own=profile("Localhost")), True),
        (pod(profile("Unconfined"), profile("RuntimeDefault")), True),
        (pod(own=profile("RuntimeDefault"), field="initContainers"), True),
    ],
)
def test_a_profile_needs_a_kernel_that_enforces_it(asked: Json, refused: bool) -> None:
    assert refusal(asked, unsafe_sysctls=(), has_apparmor=False) == (NO_APPARMOR if refused else None)
    assert refusal(asked, unsafe_sysctls=(), has_apparmor=True) is None


def test_unsafe_sysctls_are_refused_unless_allowed() -> None:
    asked = pod({"sysctls": [{"name": "kernel.msgmax", "value": "1"}]})
    assert refusal(asked, unsafe_sysctls=(), has_apparmor=True) == Refusal(
        "SysctlForbidden", 'forbidden sysctl: "kernel.msgmax" not allowlisted'
    )
    assert refusal(asked, unsafe_sysctls=("kernel.msg*",), has_apparmor=True) is None
