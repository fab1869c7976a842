"""conmon: one process a container that holds its stdio, writes its log and exit file, and outlives us (`cri.ports.Supervisor`).

Facts of its interface (conmon(8)): it reports the container's pid, or an error, as one JSON line on a pipe named by _OCI_SYNCPIPE;
`<bundle>/attach` is its socket, `<bundle>/ctl` takes "1 height width" (resize) and "2 0 0" (reopen the log); the exit file is
`<exit-dir>/<id>` with the status in decimal.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import shutil
import signal
import termios
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Any

from polong.kit.errors import DeadlineExceeded, FailedPrecondition, NotFound, PolongError
from polong.kit.stdio import Stdio, TerminalSize
from polong.linux import fds, paths, proc, process
from polong.linux.fds import Fd
from polong.linux.pidfd import PidFd
from polong.linux.streams import FdReader
from polong.oci import attach, launch
from polong.oci.launch import Launcher, Record
from polong.oci.supervised import Supervised

_REASON = "RunContainerError"
_REPORT_LIMIT = 64 * 1024
# Half a second in all.
_CONTROL_TRIES, _CONTROL_PAUSE = 100, 0.005
_FILES = ("attach", "ctl", "winsz", "conmon.pid", "container.pid", "runtime.log", "conmon.log", "oom")


class Conmon:
    """`exit_dir` outlives the daemon: it lies in the run directory of the node. `timeout`: seconds for conmon with the runtime's create."""

    def __init__(self, launcher: Launcher, run_dir: Path, *, conmon: str | Path = "conmon", timeout: float = 60.0) -> None:
        found = shutil.which(str(conmon))
        if found is None:
            raise FailedPrecondition(f"no conmon {str(conmon)!r}: install it (apt-get install conmon), or give its path")
        self._conmon = Path(found)
        self._launcher = launcher
        self._timeout = timeout
        self.exit_dir = run_dir / "exits"
        self.exit_dir.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def create(
        self, container_id: str, bundle: Path, *, log_path: Path | None, terminal: bool, stdin: bool, stdin_once: bool
    ) -> Supervised:
        """conmon and the runtime's create. FailedPrecondition (RunContainerError) with the runtime's own words; nothing of it is left
        then."""
        record = self._launcher.prepare(container_id, bundle)
        self.forget(container_id)
        options = [*(["--terminal"] if terminal else []), *(["--stdin"] if stdin else [])]
        if stdin and not stdin_once:
            options.append("--leave-stdin-open")
        command = self._command(container_id, record, log_path, options)
        reader, writer = fds.pipe()
        report = FdReader(reader)
        child: process.Process | None = None
        created = False
        try:
            with writer:
                environment = process.clean_environment({"_OCI_SYNCPIPE": str(writer.fileno())})
                child = process.spawn(command, env=environment, cwd=bundle, pass_fds=[writer.fileno()])
            async with asyncio.timeout(self._timeout):
                pid = self._reported(await self._report(report), bundle)
                await child.wait()
            supervised = Supervised(_pid_in(bundle / "conmon.pid"), pid)
            self._launcher.limit(record)
            created = True
            return supervised
        except TimeoutError:
            raise DeadlineExceeded(f"conmon did not create the container within {self._timeout:g} s, killed", reason=_REASON) from None
        finally:
            report.shut()
            if child is not None:
                await child.aclose(kill=not created)
            if not created:
                await self._undo(container_id, record)

    def _command(self, container_id: str, record: Record, log_path: Path | None, options: list[str]) -> list[str]:
        bundle = record.bundle
        (bundle / "runtime.log").unlink(missing_ok=True)
        runtime, *arguments = self._launcher.words(record.cgroup, log=bundle / "runtime.log")
        return [
            *(str(self._conmon), "--api-version", "1", "--cid", container_id, "--cuuid", container_id, "--name", container_id),
            *("--runtime", runtime, "--bundle", str(bundle)),
            *("--container-pidfile", str(bundle / "container.pid"), "--conmon-pidfile", str(bundle / "conmon.pid")),
            *("--log-path", f"k8s-file:{log_path}" if log_path is not None else "none"),
            *("--exit-dir", str(self.exit_dir), "--full-attach", "--log-level", "error", "--no-sync-log"),
            *options,
            *(f"--runtime-arg={word}" for word in arguments),
        ]

    async def _report(self, pipe: FdReader) -> bytes:
        data = b""
        while b"\n" not in data and len(data) < _REPORT_LIMIT and (chunk := await pipe.read()):
            data += chunk
        return data

    def _reported(self, data: bytes, bundle: Path) -> int:
        """The container's pid out of conmon's line."""
        try:
            document: Any = json.loads(data.partition(b"\n")[0])
        except ValueError:
            document = None
        if not isinstance(document, dict):
            document = {}
        pid = document.get("data", document.get("pid", -1))
        if isinstance(pid, int) and pid > 0:
            return pid
        words = launch.said(bundle / "runtime.log") or launch.one_line(str(document.get("message", ""))) or "conmon ended without a word"
        raise FailedPrecondition(f"cannot create container: {self._launcher.name}: {words}", reason=_REASON)

    async def _undo(self, container_id: str, record: Record) -> None:
        with suppress(OSError, ValueError):
            os.kill(_pid_in(record.bundle / "conmon.pid"), signal.SIGKILL)
        if self._launcher.knows(container_id):
            with suppress(DeadlineExceeded):
                await process.run([*self._launcher.words(""), "delete", "--force", container_id], timeout=self._timeout)
        self.forget(container_id)
        await self._launcher.forget(container_id)

    def _bundle(self, container_id: str) -> Path:
        record = self._launcher.find(container_id)
        if record is None:
            raise NotFound(f"no container {container_id[:13]} here")
        return record.bundle

    async def attach(self, container_id: str, stdio: Stdio) -> None:
        """Carry `stdio` until the container's output ends, or the client is gone. FailedPrecondition where it does not run."""
        sock = attach.connect(self._bundle(container_id))

        async def resize(size: TerminalSize) -> None:
            await self.resize(container_id, size)

        await attach.run(sock, stdio, resize)

    async def resize(self, container_id: str, size: TerminalSize) -> None:
        """Columns and rows out of 0..65535; nothing where the container has ended."""
        width, height = (max(0, min(value, 65535)) for value in (size.width, size.height))
        await self._control(container_id, f"1 {height} {width}\n")

    async def reopen_log(self, container_id: str) -> None:
        """After the log was renamed: go on in a new file of the old name. conmon heeds the word when it gets to it."""
        await self._control(container_id, "2 0 0\n")

    async def _control(self, container_id: str, message: str) -> None:
        try:
            with Fd(os.open(self._bundle(container_id) / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)) as fifo:
                # Of several lines that it reads at once, conmon heeds the first alone, as often as there are lines.
                for _ in range(_CONTROL_TRIES):
                    if not _waiting(fifo):
                        break
                    await asyncio.sleep(_CONTROL_PAUSE)
                os.write(fifo.fileno(), message.encode("ascii"))
        except OSError as error:
            # ENXIO: no reader, so conmon has ended. EAGAIN: it does not read; a later size replaces this one.
            if error.errno not in {errno.ENXIO, errno.ENOENT, errno.EAGAIN}:
                raise

    def exit_code(self, container_id: str) -> int | None:
        """From the exit file; None where there is none, or it is not a plain number 0..255 (then nothing certain is known)."""
        name = launch.check_id(container_id)
        try:
            with paths.Root.open(self.exit_dir) as root:
                text = root.read(name, 64, resolve=paths.NO_LINKS).strip()
        except (OSError, PolongError):
            return None
        return int(text) if text.isdigit() and int(text) <= 255 else None

    async def end(self, container_id: str) -> None:
        """Kill conmon itself, of a container that is not wanted: what it writes last would outlive `forget`. Idempotent."""
        record = self._launcher.find(container_id)
        try:
            held = None if record is None else PidFd.open(_pid_in(record.bundle / "conmon.pid"))
        except (OSError, ValueError):
            return
        if held is None:
            return
        with held, suppress(ProcessLookupError):
            # Held by then: the number cannot come to mean another one between this look and the signal.
            if container_id in proc.command(held.pid):
                held.send(signal.SIGKILL)
                async with asyncio.timeout(self._timeout):
                    await held.wait()

    def forget(self, container_id: str) -> None:
        """Delete conmon's files of this container. Idempotent."""
        (self.exit_dir / launch.check_id(container_id)).unlink(missing_ok=True)
        record = self._launcher.find(container_id)
        if record is None:
            return
        for name in _FILES:
            with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
                (record.bundle / name).unlink()


def _waiting(fifo: Fd) -> bool:
    """Whether there are bytes in it that nobody has read yet."""
    count = array("i", [0])
    fcntl.ioctl(fifo.fileno(), termios.FIONREAD, count)
    return count[0] > 0


def _pid_in(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))
