"""How a server in the foreground tells that it is ready, or why it is not."""

from __future__ import annotations

import os
import socket
from types import TracebackType

from polong.cli.errors import Failure, explain


class Teller:
    """Tells whoever started us: one line on a descriptor, or systemd's protocol (sd_notify(3)). As a context, it tells of a failure."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)

    def __enter__(self) -> Teller:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, Exception):
            self._say(error.message if isinstance(error, Failure) else explain(error).removeprefix("error: "))

    def ready(self) -> None:
        self._say("ready")
        _notify("READY=1")

    def _say(self, text: str) -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.write(descriptor, text.replace("\n", " ").encode() + b"\n")
        except OSError:
            pass
        finally:
            os.close(descriptor)


def _notify(text: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(text.encode(), "\0" + address[1:] if address.startswith("@") else address)
