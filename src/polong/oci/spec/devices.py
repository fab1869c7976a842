"""`linux.devices` and the device rules. The runtime itself makes null, zero, full, random, urandom, tty, ptmx on the fresh /dev."""

from __future__ import annotations

from collections.abc import Sequence

from polong.oci.spec.model import Device, Json

_DENY_ALL: Json = {"allow": False, "access": "rwm"}
_ALLOW_ALL: Json = {"allow": True, "access": "rwm"}
# runtime-spec, config-linux.md "Default Devices", and terminals. Any node may be made (m): mknod is guarded by its capability.
_BASIC: tuple[tuple[str, int | None, int | None, str], ...] = (
    ("c", None, None, "m"),
    ("b", None, None, "m"),
    ("c", 1, 3, "rwm"),  # null
    ("c", 1, 5, "rwm"),  # zero
    ("c", 1, 7, "rwm"),  # full
    ("c", 1, 8, "rwm"),  # random
    ("c", 1, 9, "rwm"),  # urandom
    ("c", 5, 0, "rwm"),  # tty
    ("c", 5, 1, "rwm"),  # console
    ("c", 5, 2, "rwm"),  # ptmx
    ("c", 136, None, "rwm"),  # pts
)


def section(devices: Sequence[Device]) -> list[Json]:
    return [
        {
            "path": device.path,
            "type": device.type,
            "major": device.major,
            "minor": device.minor,
            "fileMode": device.mode,
            "uid": device.uid,
            "gid": device.gid,
        }
        for device in devices
    ]


def rules(devices: Sequence[Device], *, privileged: bool) -> list[Json]:
    """`linux.resources.devices`: nothing but the basic set and what is named, or all."""
    if privileged:
        return [_ALLOW_ALL]
    basic = [_rule(*each) for each in _BASIC]
    named = [
        {"allow": True, "type": device.type, "major": device.major, "minor": device.minor, "access": device.permissions}
        for device in devices
    ]
    return [_DENY_ALL, *basic, *named]


def _rule(kind: str, major: int | None, minor: int | None, access: str) -> Json:
    numbers = {key: number for key, number in (("major", major), ("minor", minor)) if number is not None}
    return {"allow": True, "type": kind, **numbers, "access": access}
