"""exec and attach through a real pty, against a real server: raw mode, sizes, exit codes, the terminal given back."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .conftest import Api

COMMAND = [sys.executable, "-m", "polong"]


class Pty:
    def __init__(self, *args: str, rows: int = 31, columns: int = 101) -> None:
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.child = subprocess.Popen(
            [*COMMAND, *args], stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=_controlling
        )
        self._slave = slave
        self.output = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, text: bytes, timeout: float = 10.0) -> None:
        deadline = time.monotonic() + timeout
        while text not in self.output:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in {self.output!r}"
            if select.select([self.master], [], [], left)[0]:
                self.output += os.read(self.master, 65536)

    def send(self, data: bytes) -> None:
        os.write(self.master, data)

    def wait(self) -> int:
        code = self.child.wait(10)
        while select.select([self.master], [], [], 0.05)[0]:
            self.output += os.read(self.master, 65536)
        return code

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self._slave)[3] & termios.ICANON

    def is_as_before(self) -> bool:
        return termios.tcgetattr(self._slave) == self.before

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        os.close(self.master)
        os.close(self._slave)


def _controlling() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def terminal(*args: str) -> Iterator[Pty]:
    found = Pty(*args)
    try:
        yield found
    finally:
        found.close()


def test_attach_is_raw_says_its_size_and_gives_the_terminal_back(api: Api) -> None:
    api.pod()
    api.node.sizes.clear()
    with terminal("attach", "-it", "nginx", "-c", "shell") as tty:
        tty.expect(b"If you don't see a command prompt, try pressing enter.")
        tty.expect(b"attached")
        assert tty.is_raw()
        tty.send(b"\x03")
        tty.expect(b"<\x03>")
        tty.resize(20, 60)
        tty.child.send_signal(signal.SIGWINCH)
        deadline = time.monotonic() + 10
        while api.node.sizes[-1:] != [(60, 20)]:
            assert time.monotonic() < deadline, api.node.sizes
            time.sleep(0.01)
        tty.send(b"q")
        assert tty.wait() == 0
        assert tty.is_as_before()
    assert (101, 31) in api.node.sizes


def test_detach_leaves_the_container_running(api: Api) -> None:
    api.pod()
    with terminal("attach", "-it", "nginx", "-c", "shell") as tty:
        tty.expect(b"attached")
        tty.send(b"\x10x")
        tty.expect(b"<\x10x>")
        tty.send(b"\x10\x11")
        assert tty.wait() == 0
        assert b"detached; the container keeps running" in tty.output
        assert tty.is_as_before()


def test_the_terminal_comes_back_when_a_signal_ends_the_session(api: Api) -> None:
    api.pod()
    with terminal("attach", "-it", "nginx", "-c", "shell") as tty:
        tty.expect(b"attached")
        assert tty.is_raw()
        tty.child.terminate()
        assert tty.wait() != 0
        assert tty.is_as_before()


def test_exec_passes_the_exit_code(api: Api) -> None:
    api.pod()
    with terminal("exec", "-it", "nginx", "-c", "shell", "--", "exit", "7") as tty:
        tty.expect(b"shell: exit 7")
        tty.send(b"q")
        assert tty.wait() == 7
        assert b"command terminated with exit code 7" in tty.output
        assert tty.is_as_before()


def run(*args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *args], input=stdin, capture_output=True, timeout=20, check=False)


def test_exec_keeps_the_streams_apart_without_a_terminal(api: Api) -> None:
    api.pod()
    done = run("exec", "-i", "nginx", "-c", "shell", "--", "cat", stdin=b"hello")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"shell: cat\n<hello>", b"to stderr\n")


def test_a_terminal_that_is_not_there(api: Api) -> None:
    api.pod()
    done = run("exec", "-it", "nginx", "-c", "shell", "--", "cat", stdin=b"q")
    assert done.stderr.startswith(b"Unable to use a TTY - input is not a terminal")
    assert done.returncode == 0


def test_the_default_container_is_told(api: Api) -> None:
    api.pod()
    done = run("exec", "nginx", "--", "true")
    assert b'Defaulted container "nginx" out of: nginx, shell' in done.stderr


def test_exec_without_dashes_says_how(api: Api) -> None:
    done = run("exec", "nginx", "ls")
    assert done.stderr == b"error: exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead\n"


def test_a_reader_that_leaves_is_no_error(api: Api) -> None:
    for number in range(20):
        api.pod(f"p{number}")
    done = subprocess.run(f"{' '.join(COMMAND)} get pods -o yaml | head -1", shell=True, capture_output=True, timeout=20, check=False)
    assert (done.stdout, done.stderr) == (b"apiVersion: v1\n", b"")


def test_ps_watch_uses_the_other_screen_and_leaves_it(api: Api) -> None:
    api.pod()
    api.node.processes_of = [{"container": "shell", "pid": 1, "hostPID": 5, "command": ["sh\x1b[2J"], "pidNamespace": 1}]
    with terminal("ps", "nginx", "-w") as tty:
        tty.expect(b"sh\\x1b[2J")
        tty.send(b"\x03")
        assert tty.wait() == 130
        assert tty.output.startswith(b"\x1b[?1049h\x1b[?25l")
        assert tty.output.rstrip().endswith(b"\x1b[?25h\x1b[?1049l")
