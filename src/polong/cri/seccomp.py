"""Which seccomp profile a container gets. RuntimeDefault unless it says otherwise; never unconfined because something is missing."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from polong.cri.ports import Json
from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition, Invalid
from polong.oci.spec import seccomp

_REASON = "CreateContainerError"
_MOST_BYTES = 1 << 20


def default(profile: Json | None) -> Json:
    """RuntimeDefault. FailedPrecondition where the host has no profile to make it from: never silently unconfined."""
    if profile is None:
        raise FailedPrecondition(
            "no default seccomp profile on this host: install golang-github-containers-common, or ask for seccompProfile Unconfined",
            reason=_REASON,
        )
    return seccomp.runtime_default(profile)


def chosen(profile: v1.SecurityProfile, *, privileged: bool, runtime_default: Json | None) -> Json | None:
    """The profile document, None for Unconfined. Reads a Localhost profile's file. Invalid where it cannot be had."""
    if privileged or profile.profile_type == v1.SecurityProfile.Unconfined:
        return None
    if profile.profile_type == v1.SecurityProfile.RuntimeDefault:
        return default(runtime_default)
    return _localhost(profile.localhost_ref)


def _localhost(reference: str) -> Json:
    if not reference.startswith("/") or ".." in reference.split("/") or "\0" in reference:
        raise Invalid(f"seccomp profile {reference[:256]!r} is not a plain absolute path", reason=_REASON)
    try:
        document = json.loads(_read(Path(reference)))
    except OSError as error:
        raise Invalid(f"cannot read seccomp profile {reference}: {error.strerror}", reason=_REASON) from error
    except (ValueError, RecursionError) as error:
        raise Invalid(f"cannot read seccomp profile {reference}: it is not JSON", reason=_REASON) from error
    if not isinstance(document, dict):
        raise Invalid(f"cannot read seccomp profile {reference}: it is not a JSON object", reason=_REASON)
    return document


def _read(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise Invalid(f"cannot read seccomp profile {path}: not a regular file", reason=_REASON)
        if info.st_size > _MOST_BYTES:
            raise Invalid(f"cannot read seccomp profile {path}: more than {_MOST_BYTES} bytes", reason=_REASON)
        return file.read(_MOST_BYTES)
