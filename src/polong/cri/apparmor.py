"""Which AppArmor profile a container gets, by name; "" for none. CRI: the SecurityProfile `apparmor`, else the older string of its kind.

A container that says nothing gets the default profile where the node has one, as with every runtime below Kubernetes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from polong.criapi.wire import v1
from polong.kit.errors import Invalid, Unsupported

_REASON = "CreateContainerError"
_OLD = {"runtime/default": v1.SecurityProfile.RuntimeDefault, "unconfined": v1.SecurityProfile.Unconfined}
_OLD_LOCALHOST = "localhost/"


def asked(security: v1.LinuxContainerSecurityContext) -> v1.SecurityProfile | None:
    """None where the container says nothing. Invalid for a string of the older field that is no profile."""
    if security.HasField("apparmor"):
        return security.apparmor
    old = security.apparmor_profile
    if not old:
        return None
    if old.startswith(_OLD_LOCALHOST):
        return v1.SecurityProfile(profile_type=v1.SecurityProfile.Localhost, localhost_ref=old.removeprefix(_OLD_LOCALHOST))
    if old not in _OLD:
        raise Invalid(f"AppArmor profile {old!r} is none of {', '.join(_OLD)} and {_OLD_LOCALHOST}NAME", reason=_REASON)
    return v1.SecurityProfile(profile_type=_OLD[old])


def chosen(security: v1.LinuxContainerSecurityContext, *, enabled: bool, default: str, loaded: Callable[[], Mapping[str, str]]) -> str:
    """`default`: the name of the loaded default profile, "" where there is none. Unsupported where what is asked for cannot be enforced,
    Invalid where no profile of that name is loaded."""
    profile = asked(security)
    kinds = v1.SecurityProfile
    if profile is None:
        return "" if security.privileged else default
    if profile.profile_type == kinds.Unconfined or security.privileged:
        return ""
    if not enabled:
        raise Unsupported("Cannot enforce AppArmor: AppArmor is not enabled on the host", reason=_REASON)
    if profile.profile_type == kinds.RuntimeDefault:
        if not default:
            raise Unsupported("Cannot enforce AppArmor: the default profile is not loaded, see `polong check`", reason=_REASON)
        return default
    name = profile.localhost_ref.removeprefix(_OLD_LOCALHOST)
    if name not in loaded():
        raise Invalid(f'AppArmor profile "{name}" is not loaded', reason=_REASON)
    return name
