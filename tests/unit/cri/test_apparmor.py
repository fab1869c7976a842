from __future__ import annotations

import pytest

from polong.cri import apparmor
from polong.criapi.wire import v1
from polong.kit.errors import Invalid, Unsupported

Profile = v1.SecurityProfile
Security = v1.LinuxContainerSecurityContext


def chosen(security: Security, *, enabled: bool = True, default: str = "ours") -> str:
    return apparmor.chosen(security, enabled=enabled, default=default if enabled else "", loaded=lambda: {"mine": "enforce"})


def profile(kind: int, name: str = "", *, privileged: bool = False) -> Security:
    return Security(apparmor=Profile(profile_type=kind, localhost_ref=name), privileged=privileged)


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        (Security(), "ours"),
        (Security(privileged=True), ""),
        (profile(Profile.RuntimeDefault), "ours"),
        (profile(Profile.RuntimeDefault, privileged=True), ""),
        (profile(Profile.Unconfined), ""),
        (profile(Profile.Localhost, "mine"), "mine"),
        (profile(Profile.Localhost, "localhost/mine"), "mine"),
        (Security(apparmor_profile="runtime/default"), "ours"),
        (Security(apparmor_profile="unconfined"), ""),
        (Security(apparmor_profile="localhost/mine"), "mine"),
    ],
)
def test_the_profile_that_a_container_gets(security: Security, expected: str) -> None:
    assert chosen(security) == expected


@pytest.mark.parametrize(
    "security", [profile(Profile.Localhost, "gone"), Security(apparmor_profile="localhost/gone"), Security(apparmor_profile="x")]
)
def test_what_is_no_loaded_profile_is_refused(security: Security) -> None:
    with pytest.raises(Invalid) as error:
        chosen(security)
    assert error.value.reason == "CreateContainerError"


def test_without_apparmor_only_what_asks_for_it_is_refused() -> None:
    assert chosen(Security(), enabled=False) == ""
    assert chosen(profile(Profile.Unconfined), enabled=False) == ""
    with pytest.raises(Unsupported, match="AppArmor is not enabled on the host"):
        chosen(profile(Profile.RuntimeDefault), enabled=False)


def test_a_node_that_could_not_load_its_profile_confines_nobody_by_guess() -> None:
    assert chosen(Security(), default="") == ""
    with pytest.raises(Unsupported, match="default profile is not loaded"):
        chosen(profile(Profile.RuntimeDefault), default="")
