"""A program on a real pseudo-terminal, driven by what it prints: send, expect, with a deadline each time.

Used by the demo and by the end-to-end tests; the program cannot tell it from a person at a terminal.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

# What a terminal would act on and a transcript must not contain: CSI sequences (colours, cursor position, its request) and OSC titles.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07")


class Timeout(AssertionError):  # noqa: N818
    pass


def plain(text: str) -> str:
    """Without control sequences and carriage returns."""
    return _CONTROL.sub("", text).replace("\r", "")


class Terminal:
    """`text` is all output so far; `expect` looks only at what came since the last match."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        size: tuple[int, int] = (120, 40),
        echo: Callable[[str], object] = lambda text: None,
    ) -> None:
        self.text = ""
        self._seen = 0
        self._echo = echo
        self._status: int | None = None
        environment = dict(os.environ if env is None else env)
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(command[0], list(command), environment)
            except OSError as error:
                os.write(2, f"{command[0]}: {error}\n".encode())
            os._exit(127)
        self.resize(*size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, text: str) -> None:
        os.write(self._master, text.encode())

    def line(self, text: str) -> None:
        """Type `text` and press Enter."""
        self.send(text + "\r")

    def expect(self, pattern: str, timeout: float = 20) -> re.Match[str]:
        """Wait until `pattern` (multi-line) appears in plain output that no earlier `expect` has passed; the match."""
        deadline = time.monotonic() + timeout
        while True:
            if found := re.compile(pattern, re.MULTILINE).search(self.text, self._seen):
                self._seen = found.end()
                return found
            if not self._read(deadline):
                raise Timeout(f"{pattern!r} did not come; since the last match: {self.text[self._seen :][-1500:]!r}")

    def until_prompt(self, prompt: str = r"^.*[#$] $", timeout: float = 20) -> str:
        """Everything up to the next prompt."""
        begin = self._seen
        self.expect(prompt, timeout)
        return self.text[begin : self._seen]

    def command(self, text: str, prompt: str = r"^.*[#$] $", timeout: float = 20) -> str:
        """Type a command at a shell's prompt; its output. The echo is awaited first, so that an older prompt is not taken for the next."""
        self.line(text)
        self.expect(re.escape(text) + r"\n", timeout)
        return self.until_prompt(prompt, timeout)

    def _read(self, deadline: float) -> bool:
        """Take in what is there; False at the end of output or of time."""
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: the program and all its children are gone
            return False
        if not data:
            return False
        text = plain(data.decode(errors="replace"))
        self.text += text
        self._echo(text)
        return True

    def wait(self, timeout: float = 20) -> int:
        """Read to the end; the exit code (128 + signal where one ended it)."""
        deadline = time.monotonic() + timeout
        while self._status is None:
            self._read(min(deadline, time.monotonic() + 0.05))
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self._status = status
            elif time.monotonic() > deadline:
                raise Timeout(f"still running after {timeout} s; its output ends with {self.text[-800:]!r}")
        code = os.waitstatus_to_exitcode(self._status)
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        """Hang up, as a closed window does; make sure that the program ends. Idempotent."""
        if self._master < 0:
            return
        with contextlib.suppress(OSError):
            os.close(self._master)
        self._master = -1
        deadline = time.monotonic() + 5
        while self._status is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self._status = status
            elif time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
            else:
                time.sleep(0.01)
