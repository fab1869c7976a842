"""Sockets by path that belong to root alone."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from polong.kit.errors import FailedPrecondition, Invalid

# sockaddr_un's path, less the closing NUL.
_LONGEST_PATH = 107
_MODE = 0o600


def bind(path: Path) -> socket.socket:
    """A socket at `path`, mode 0600 before anybody can connect (nobody listens yet). What a dead server left there is replaced, a live
    one's is not: FailedPrecondition. Invalid where no socket can be there."""
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise Invalid(f"cannot listen on {path}: the path of a socket has at most {_LONGEST_PATH} bytes")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(_MODE)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise Invalid(f"cannot listen on {path}: {error.strerror}") from error
    return listener


def _clear(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FailedPrecondition(f"cannot listen on {path}: there is something that is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise FailedPrecondition(f"cannot listen on {path}: another server does already")
