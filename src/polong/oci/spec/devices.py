"""`linux.devices` and the device rules. The runtime itself makes null, zero, full, random, urandom, tty, ptmx on the fresh /dev."""

from __future__ import annotations

from collections.abc import Sequence

from polong.oci.spec.model import Device, Json

_DENY_ALL: Json = {"allow": False, "access": "rwm"}
_ALLOW_ALL: Json = {"allow": True, "access": "rwm"}


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
    """`linux.resources.devices`: nothing but what is named (and the runtime's own basic set), or all."""
    if privileged:
        return [_ALLOW_ALL]
    named = [
        {"allow": True, "type": device.type, "major": device.major, "minor": device.minor, "access": device.permissions}
        for device in devices
    ]
    return [_DENY_ALL, *named]
