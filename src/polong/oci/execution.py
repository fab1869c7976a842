"""One exec: a process that joins a container, with streams of ours and no supervisor (`cri.ports.ExecProcess`).

The runtime only starts it (`exec --detach`) and is gone; the little `joiner` (csrc/joiner.c) adopts it and ends as it ends. So no
process of a runtime lies between us and the streams: descriptors are pipes of ours, a terminal comes by the console socket.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import struct
import termios
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from polong.kit.errors import DeadlineExceeded, FailedPrecondition
from polong.kit.stdio import TerminalSize
from polong.linux import inotify, process
from polong.linux.fds import Fd
from polong.linux.pidfd import PidFd
from polong.linux.streams import FdReader, FdWriter
from polong.oci import launch
from polong.oci.launch import Launcher

Json = dict[str, Any]
_REASON = "RunContainerError"
_IDLE = 0.2


class TerminalWriter(FdWriter):
    """The input of a terminal. A terminal has no end of input: closing it only ends our writing."""


class Exec:
    """A running (or ended) exec. `aclose` after use: it kills the process where it still runs and closes the streams."""

    def __init__(self, runtime: process.Process, pid: int, scratch: Path) -> None:
        self._runtime = runtime
        self._scratch = scratch
        self._terminal: Fd | None = None
        self._pid = pid
        try:
            self._handle: PidFd | None = PidFd.open(pid)
        except ProcessLookupError:
            self._handle = None
        self._stdin: FdWriter | None = runtime.stdin
        self._stdout: FdReader | None = runtime.stdout
        self._stderr: FdReader | None = runtime.stderr

    def use_terminal(self, master: Fd) -> None:
        # One descriptor each: a stream closes its own at the end, and its number may then be another file's.
        self._stdin = TerminalWriter(Fd(os.dup(master.fileno())))
        self._terminal = Fd(os.dup(master.fileno()))
        self._stdout, self._stderr = FdReader(master), None

    @property
    def pid(self) -> int:
        """Host PID of the process inside the container."""
        return self._pid

    @property
    def stdin(self) -> FdWriter | None:
        return self._stdin

    @property
    def stdout(self) -> FdReader:
        assert self._stdout is not None
        return self._stdout

    @property
    def stderr(self) -> FdReader | None:
        return self._stderr

    def resize(self, size: TerminalSize) -> None:
        """Nothing where there is no terminal, or it is gone."""
        if self._terminal is None:
            return
        with suppress(OSError, ValueError):
            _set_size(self._terminal.fileno(), size)

    async def wait(self) -> int:
        """The exit code. Output then ends soon, also where a child in the background holds it. FailedPrecondition where the kernel
        refused to execute the file (such as a script without interpreter)."""
        code = await self._runtime.wait()
        for stream in (self._stdout, self._stderr):
            if stream is not None:
                stream.end_after(_IDLE)
        if code != 0 and (words := launch.said(self._scratch / "log")):
            raise FailedPrecondition(f"cannot exec in container: {words}", reason=_REASON)
        return code

    def kill(self) -> None:
        """SIGKILL the process. Idempotent."""
        if self._handle is not None:
            with suppress(ValueError):
                self._handle.send(signal.SIGKILL)

    async def aclose(self) -> None:
        """Idempotent. What the process started in the background lives on, in the container's cgroup."""
        self.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await self._runtime.wait()
        for stream in (self._stdin, self._stdout, self._stderr):
            if stream is not None:
                stream.shut()
        if self._terminal is not None:
            self._terminal.close()
        await self._runtime.aclose(kill=self._runtime.code is None)
        if self._handle is not None:
            self._handle.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


class Starter:
    """Starts execs of one runtime; scratch files (process document, pid, log, socket) live below `scratch`, one directory each."""

    def __init__(self, launcher: Launcher, scratch: Path, *, timeout: float) -> None:
        self._launcher = launcher
        self._scratch = scratch
        self._timeout = timeout

    async def start(self, container_id: str, document: Json, *, stdin: bool, cgroup: str, passed: Sequence[int] = ()) -> Exec:
        """FailedPrecondition with the runtime's own words where the command cannot be started; nothing is left then. `passed` are open
        descriptors (files that an escape could not use: no directories), which the process gets as 3, 4, …; not with a terminal."""
        launch.check_id(container_id)
        directory = self._scratch / secrets.token_hex(6)
        directory.mkdir(mode=0o700)
        (directory / "process.json").write_text(json.dumps(document), encoding="utf-8")
        runtime: process.Process | None = None
        try:
            async with asyncio.timeout(self._timeout):
                if not document.get("terminal"):
                    runtime = self._spawn(container_id, directory, cgroup, [], stdin=process.PIPE if stdin else None, passed=passed)
                    return Exec(runtime, await self._pid(runtime, directory), directory)
                return await self._with_terminal(container_id, directory, cgroup)
        except BaseException as error:
            if runtime is not None:
                await runtime.aclose()
            shutil.rmtree(directory, ignore_errors=True)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(f"{self._launcher.name} exec did not start within {self._timeout:g} s, killed") from None
            raise

    def _spawn(
        self,
        container_id: str,
        directory: Path,
        cgroup: str,
        options: list[str],
        *,
        stdin: Fd | None,
        output: Fd | None = process.PIPE,
        passed: Sequence[int] = (),
    ) -> process.Process:
        words = self._launcher.words(cgroup, log=directory / "log", reap=directory / "pid", passed=passed)
        files = ["--process", str(directory / "process.json"), "--pid-file", str(directory / "pid")]
        keep = ["--preserve-fds", str(len(passed))] if passed else []
        command = [*words, "exec", "--detach", *files, *keep, *options, container_id]
        return process.spawn(command, stdin=stdin, stdout=output, stderr=output, pass_fds=passed)

    async def _pid(self, runtime: process.Process, directory: Path) -> int:
        """The exec'd process: both runtimes write the file once the command was found, and before it runs."""
        file = directory / "pid"
        if not await inotify.wait_for(file, runtime.ended):
            words = launch.said(directory / "log") or f"{self._launcher.name} exec ended with status {runtime.code}"
            raise FailedPrecondition(f"cannot exec in container: {words}", reason=_REASON)
        return int(file.read_text(encoding="ascii"))

    async def _with_terminal(self, container_id: str, directory: Path, cgroup: str) -> Exec:
        with Fd(os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as fd, socket.socket(socket.AF_UNIX) as listener:
            # A socket's path has 108 bytes; through the descriptor it is short, wherever the directory lies.
            listener.bind(f"/proc/self/fd/{fd.fileno()}/tty")
            listener.listen(1)
            listener.setblocking(False)
            path = f"/proc/{os.getpid()}/fd/{fd.fileno()}/tty"
            runtime = self._spawn(container_id, directory, cgroup, ["--tty", "--console-socket", path], stdin=None, output=None)
            master: Fd | None = None
            try:
                master = await self._receive(listener, runtime, directory)
                result = Exec(runtime, await self._pid(runtime, directory), directory)
            except BaseException:
                if master is not None:
                    master.close()
                await runtime.aclose()
                raise
            result.use_terminal(master)
            return result

    async def _receive(self, listener: socket.socket, runtime: process.Process, directory: Path) -> Fd:
        if not await _readable(listener, runtime.ended):
            words = launch.said(directory / "log") or f"{self._launcher.name} exec ended with status {runtime.code}"
            raise FailedPrecondition(f"cannot exec in container: {words}", reason=_REASON)
        connection, _ = listener.accept()
        with connection:
            connection.setblocking(False)
            await _readable(connection, runtime.ended)
            _, numbers, _, _ = socket.recv_fds(connection, 4096, 1)
            if not numbers:
                raise FailedPrecondition(f"cannot exec in container: {self._launcher.name} sent no terminal", reason=_REASON)
            os.set_inheritable(numbers[0], False)
            return Fd(numbers[0])


def _set_size(terminal: int, size: TerminalSize) -> None:
    width, height = (max(0, min(value, 65535)) for value in (size.width, size.height))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


async def _readable(sock: socket.socket, until: asyncio.Future[int]) -> bool:
    """True once `sock` has something, False where `until` is done first."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[bool] = loop.create_future()

    def wake(result: bool) -> None:
        if not ready.done():
            ready.set_result(result)

    def ended(_: object) -> None:
        # What it sent before it ended is seen first.
        loop.call_later(0.01, wake, False)

    loop.add_reader(sock.fileno(), wake, True)
    until.add_done_callback(ended)
    try:
        return await ready
    finally:
        loop.remove_reader(sock.fileno())
        until.remove_done_callback(ended)
