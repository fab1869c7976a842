"""Owned descriptors: closed exactly once, by a `with` block or by whoever took them."""

from __future__ import annotations

import fcntl
import os
from types import TracebackType


class Fd:
    """One open descriptor. `take` hands the ownership over; `close` is idempotent."""

    def __init__(self, number: int) -> None:
        self._number: int | None = number

    def __int__(self) -> int:
        return self.fileno()

    def fileno(self) -> int:
        """ValueError after close or take."""
        if self._number is None:
            raise ValueError("descriptor is closed")
        return self._number

    def take(self) -> int:
        number, self._number = self.fileno(), None
        return number

    def close(self) -> None:
        number, self._number = self._number, None
        if number is not None:
            os.close(number)

    def __enter__(self) -> Fd:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def pipe() -> tuple[Fd, Fd]:
    """(read end, write end), close-on-exec."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    return Fd(reader), Fd(writer)


def program(name: str, data: bytes) -> Fd:
    """An executable that exists in memory alone: nobody can change it any more, and who is not root can only execute it."""
    memory = Fd(os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
    try:
        with os.fdopen(memory.fileno(), "wb", closefd=False) as file:
            file.write(data)
        os.fchmod(memory.fileno(), 0o111)
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(memory.fileno(), fcntl.F_ADD_SEALS, seals)
    except BaseException:
        memory.close()
        raise
    return memory


def null(flags: int = os.O_RDWR) -> Fd:
    return Fd(os.open(os.devnull, flags | os.O_CLOEXEC))
