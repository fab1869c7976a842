"""The place that spawns. Every child gets: a process group of its own, exactly the descriptors named, a clean environment, no shell.

Children are started by vfork (no preexec_fn, no uid change: subprocess then takes that path), about 1 ms whatever the size of the
daemon; their end is seen through a pidfd in the event loop, without watcher threads and without SIGCHLD.

    run()    short command: bounded output, deadline, whole group killed on timeout or cancellation
    spawn()  long-lived one: the caller owns the `Process` and its streams
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from polong.kit.errors import DeadlineExceeded, FailedPrecondition
from polong.linux import fds
from polong.linux.fds import Fd
from polong.linux.streams import FdReader, FdWriter

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OUTPUT_LIMIT = 1 << 20
_DRAIN = 0.25
_REAP = 5.0


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """PATH and the C locale, and `extra`: nothing of the daemon's own environment, which may hold secrets."""
    return {"PATH": PATH, "LC_ALL": "C.UTF-8", **(extra or {})}


_LINE_LIMIT = 4096


@dataclass(frozen=True)
class Result:
    """How a command ended. `code` is the exit status, 128+n for signal n; output is cut at the limit asked for."""

    code: int
    stdout: bytes
    stderr: bytes

    def line(self) -> str:
        """The last line of what it said, for an error message; never empty. What it says is foreign: printable, and bounded."""
        text = (self.stderr or self.stdout)[-_LINE_LIMIT:].decode("utf-8", "replace").rstrip()
        last = text.splitlines()[-1] if text else ""
        return "".join(char if char.isprintable() else " " for char in last).strip() or f"exit status {self.code}"


class Process:
    """A child of ours. Use `wait`, then `aclose` (which kills what still runs of its group, and reaps).

    The leader stays unreaped until `aclose`, so that neither its pid nor its group's number can name anything else before.
    """

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self.pid = child.pid
        self._fd = Fd(os.pidfd_open(child.pid))
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[int] = self._loop.create_future()
        self.stdin: FdWriter | None = None
        self.stdout: FdReader | None = None
        self.stderr: FdReader | None = None
        self._loop.add_reader(self._fd.fileno(), self._ended)

    def _ended(self) -> None:
        self._loop.remove_reader(self._fd.fileno())
        info = os.waitid(os.P_PIDFD, self._fd.fileno(), os.WEXITED | os.WNOWAIT)
        if info is not None and not self._done.done():
            self._done.set_result(info.si_status if info.si_code == os.CLD_EXITED else 128 + info.si_status)

    @property
    def code(self) -> int | None:
        """The exit status (128+n for signal n), None while it runs."""
        return self._done.result() if self._done.done() and not self._done.cancelled() else None

    @property
    def ended(self) -> asyncio.Future[int]:
        """Done once the process has ended, with its exit status. To be looked at, not cancelled."""
        return self._done

    async def wait(self) -> int:
        """Until the process itself has ended; its children may live on. Several may wait."""
        return await asyncio.shield(self._done)

    def send(self, number: int) -> None:
        """A signal to the process; nothing where it has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._fd.fileno(), number)

    def kill_group(self) -> None:
        """SIGKILL to the whole process group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def aclose(self, *, kill: bool = True) -> None:
        """Close the streams, kill the group (unless it is a daemon that has just forked away), reap. Idempotent."""
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.shut()
        if self._child.returncode is not None:
            return
        if kill:
            self.kill_group()
        with suppress(TimeoutError):
            # A child in an uninterruptible sleep is left to the loop: it must not hold up its caller.
            async with asyncio.timeout(_REAP):
                await self.wait()
        if self._done.done() and self._child.returncode is None:
            self._child.wait()
            self._fd.close()


def spawn(
    command: Sequence[str | Path],
    *,
    stdin: int | Fd | None = None,
    stdout: int | Fd | None = None,
    stderr: int | Fd | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | Path = "/",
    pass_fds: Sequence[int] = (),
) -> Process:
    """Start `command` (first word: an absolute path). The three descriptors: None is /dev/null, else one the caller keeps owning,
    or PIPE, which gives a stream of the Process. `env` is complete (see `clean_environment`, the default).
    FailedPrecondition where it cannot be started. Must be called in a running event loop.
    """
    words = [os.fspath(word) for word in command]
    ours: list[Fd] = []
    theirs: list[Fd] = []
    numbers: list[int] = []
    try:
        for index, given in enumerate((stdin, stdout, stderr)):
            if given is None:
                theirs.append(fds.null())
                numbers.append(theirs[-1].fileno())
            elif given is PIPE:
                reader, writer = fds.pipe()
                mine, other = (writer, reader) if index == 0 else (reader, writer)
                ours.append(mine)
                theirs.append(other)
                numbers.append(other.fileno())
            else:
                numbers.append(int(given))
        child = subprocess.Popen(
            words,
            stdin=numbers[0],
            stdout=numbers[1],
            stderr=numbers[2],
            env=dict(env) if env is not None else clean_environment(),
            cwd=cwd,
            pass_fds=tuple(pass_fds),
            close_fds=True,
            process_group=0,
            umask=0o022,
        )
    except OSError as error:
        for fd in ours:
            fd.close()
        raise FailedPrecondition(f"cannot start {words[0]}: {error.strerror}") from error
    finally:
        for fd in theirs:
            fd.close()
    process = Process(child)
    pipes = iter(ours)
    process.stdin = FdWriter(next(pipes)) if stdin is PIPE else None
    process.stdout = FdReader(next(pipes)) if stdout is PIPE else None
    process.stderr = FdReader(next(pipes)) if stderr is PIPE else None
    return process


async def wait_for(child: Process, timeout: float) -> int:
    """Its exit status; TimeoutError (and it still runs) after `timeout` seconds."""
    async with asyncio.timeout(timeout):
        return await child.wait()


class _Pipe(Fd):
    """The mark of `PIPE`."""


PIPE = _Pipe(-1)


async def run(
    command: Sequence[str | Path],
    *,
    timeout: float,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: str | Path = "/",
    pass_fds: Sequence[int] = (),
    limit: int = _OUTPUT_LIMIT,
) -> Result:
    """Run a command to its end. Output beyond `limit` bytes a stream is dropped, but drained. On timeout (DeadlineExceeded) and on
    cancellation the whole process group is killed. A grandchild that keeps the pipes open is not waited for, but killed.
    """
    process = spawn(command, stdin=PIPE if stdin else None, stdout=PIPE, stderr=PIPE, env=env, cwd=cwd, pass_fds=pass_fds)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(timeout):
            out, err, code = await _converse(process, process.stdout, process.stderr, stdin, limit)
            return Result(code, out, err)
    except TimeoutError:
        raise DeadlineExceeded(f"{Path(command[0]).name} did not end within {timeout:g} s, killed") from None
    finally:
        await process.aclose()


async def _converse(process: Process, stdout: FdReader, stderr: FdReader, data: bytes, limit: int) -> tuple[bytes, bytes, int]:
    output, errors = bytearray(), bytearray()

    async def feed() -> None:
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                await process.stdin.write(data)
            await process.stdin.close()

    async def collect(stream: FdReader, into: bytearray) -> None:
        while chunk := await stream.read():
            into += chunk[: max(0, limit - len(into))]

    async def reap() -> int:
        code = await process.wait()
        # What it wrote is in the pipes by now; only a left-over child can keep them open.
        stdout.end_after(_DRAIN)
        stderr.end_after(_DRAIN)
        return code

    async with asyncio.TaskGroup() as group:
        group.create_task(feed())
        group.create_task(collect(stdout, output))
        group.create_task(collect(stderr, errors))
        waiter = group.create_task(reap())
    return bytes(output), bytes(errors), waiter.result()
