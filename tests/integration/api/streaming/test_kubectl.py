"""Real kubectl, every version that is installed, over WebSocket and over SPDY."""

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.kubectl


def kubectls() -> list[Path]:
    """kubectl.1.27 and so on, beside the real file of the kubectl on PATH."""
    found = shutil.which("kubectl")
    if found is None:
        return []
    return sorted(path for path in Path(found).resolve().parent.glob("kubectl.1.*") if os.access(path, os.X_OK))


class Kubectl:
    def __init__(self, binary: Path, websockets: bool, home: Path, url: str) -> None:
        flag = "true" if websockets else "false"
        self.binary = binary
        self.url = url
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "KUBECONFIG": "/dev/null",
            "TERM": "xterm",
            "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": flag,
            "KUBECTL_PORT_FORWARD_WEBSOCKETS": flag,
        }

    def argv(self, *words: str) -> list[str]:
        return [str(self.binary), "--server", self.url, *words]

    async def run(self, *words: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        return await asyncio.to_thread(
            subprocess.run,
            self.argv(*words),
            env=self.environment,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=20,
            check=False,
        )

    @contextlib.contextmanager
    def background(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            self.argv(*words), env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


@pytest.fixture(params=[True, False], ids=["websocket", "spdy"])
def websockets(request: pytest.FixtureRequest) -> bool:
    return request.param


# All of them, or the oldest, the first that tunnels port-forward through WebSocket, and the newest.
EVERY = kubectls()
SOME = [path for path in EVERY if path in (EVERY[0], EVERY[-1]) or path.name == "kubectl.1.31"]
every_version = pytest.mark.parametrize("kubectl", EVERY or [None], ids=lambda path: path.name if path else "absent", indirect=True)


@pytest.fixture(params=SOME or [None], ids=lambda path: path.name if path else "absent")
def kubectl(request: pytest.FixtureRequest, websockets: bool, tmp_path: Path, streaming) -> Kubectl:
    if request.param is None:
        pytest.skip("no kubectl.1.* beside the kubectl on PATH")
    return Kubectl(request.param, websockets, tmp_path, streaming.url)


@every_version
async def test_exec(kubectl: Kubectl, streaming):
    done = await kubectl.run("exec", "p", "-c", "c", "--", "both")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"to stdout\n", b"to stderr\n")
    done = await kubectl.run("exec", "p", "-c", "c", "--", "exit", "7")
    assert (done.returncode, done.stdout) == (7, b"")
    assert b"command terminated with exit code 7" in done.stderr
    done = await kubectl.run("exec", "p", "-c", "c", "--", "missing")
    assert done.returncode == 1
    assert b"cannot run missing: no such file" in done.stderr
    assert streaming.node.ended == ["both 0", "exit 7", "missing NotFound"]


async def test_exec_with_stdin_that_ends(kubectl: Kubectl):
    text = os.urandom(700_000)
    done = await kubectl.run("exec", "-i", "p", "-c", "c", "--", "cat", stdin=text)
    assert (done.returncode, done.stdout == text) == (0, True)
    done = await kubectl.run("exec", "-i", "p", "-c", "c", "--", "count", stdin=b"")
    assert (done.returncode, done.stdout) == (0, b"0\n")


async def test_exec_with_much_output(kubectl: Kubectl):
    done = await kubectl.run("exec", "p", "-c", "c", "--", "flood", str(8 << 20))
    assert (done.returncode, len(done.stdout)) == (0, 8 << 20)


async def test_exec_refused_before_the_upgrade(kubectl: Kubectl):
    done = await kubectl.run("exec", "p", "-c", "nosuch", "--", "both")
    assert done.returncode == 1
    assert b"nosuch" in done.stderr


async def test_logs(kubectl: Kubectl, streaming):
    assert (await kubectl.run("logs", "p", "-c", "c")).stdout == b"first line\nlast line\n"
    with kubectl.background("logs", "-f", "p", "-c", "c") as process:
        assert await asyncio.to_thread(process.stdout.readline) == b"first line\n"
        streaming.node.release.set()
        assert await asyncio.to_thread(process.stdout.readline) == b"last line\n"
        assert await asyncio.to_thread(process.wait, 10) == 0


async def test_attach(kubectl: Kubectl):
    done = await kubectl.run("attach", "-i", "p", "-c", "c", stdin=b"hi")
    assert b"hello from c" in done.stdout
    assert b"<hi>" in done.stdout
    assert done.returncode == 0


async def test_client_killed_in_the_middle(kubectl: Kubectl, streaming, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("polong.streaming.session.DRAIN_SECONDS", 0.2)
    with kubectl.background("exec", "-i", "p", "-c", "c", "--", "hang") as process:
        await until(lambda: streaming.node.running == 1)
        process.kill()
        # `hang` reads nothing: it is cancelled after the grace that a session has.
        await until(lambda: streaming.node.running == 0)
    with kubectl.background("exec", "p", "-c", "c", "--", "flood", str(1 << 40)) as process:
        await asyncio.to_thread(process.stdout.read, 1 << 20)
        process.kill()
        await until(lambda: streaming.node.running == 0)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - nothing to wait on in another process
            await asyncio.sleep(0.02)


class Terminal:
    """kubectl under a real terminal."""

    def __init__(self, kubectl: Kubectl, *words: str) -> None:
        self.master, slave = pty.openpty()
        self.resize(80, 24)
        self.process = subprocess.Popen(
            kubectl.argv(*words), env=kubectl.environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        os.set_blocking(self.master, False)
        self.seen = b""

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    async def expect(self, pattern: bytes) -> None:
        deadline = time.monotonic() + 15
        while not re.search(pattern, self.seen):
            assert time.monotonic() < deadline, self.seen
            try:
                self.seen += os.read(self.master, 65536)
            except BlockingIOError:
                await asyncio.sleep(0.02)
            except OSError:
                break
        assert re.search(pattern, self.seen), self.seen

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


async def test_exec_in_a_terminal_that_is_resized(kubectl: Kubectl):
    terminal = Terminal(kubectl, "exec", "-it", "p", "-c", "c", "--", "sizes")
    try:
        await terminal.expect(rb"size 80x24")
        terminal.resize(120, 40)
        terminal.process.send_signal(signal.SIGWINCH)
        await terminal.expect(rb"size 120x40")
        terminal.resize(99, 40)
        terminal.process.send_signal(signal.SIGWINCH)
        await terminal.expect(rb"exit code 3")
        assert await asyncio.to_thread(terminal.process.wait, 10) == 3
    finally:
        terminal.close()


async def test_attach_to_a_terminal(kubectl: Kubectl):
    terminal = Terminal(kubectl, "attach", "-it", "p", "-c", "t")
    try:
        await terminal.expect(rb"hello from t")
        os.write(terminal.master, b"ls\r")
        await terminal.expect(rb"<ls>")
        os.write(terminal.master, b"quit\r")
        await terminal.expect(rb"<quit>")
        assert await asyncio.to_thread(terminal.process.wait, 10) == 0
    finally:
        terminal.close()


def fetch(port: int, data: bytes, *, finish: bool) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        if finish:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received


@every_version
async def test_port_forward(kubectl: Kubectl, streaming):
    with kubectl.background("port-forward", "p", ":80", ":82", ":81") as process:
        ports = {}
        while len(ports) < 3:
            line = await asyncio.to_thread(process.stdout.readline)
            assert line, "kubectl ended"
            if match := re.search(rb"127\.0\.0\.1:(\d+) -> (\d+)", line):
                ports[int(match[2])] = int(match[1])
        # one after the other, then side by side on one connection
        for _ in range(3):
            assert (await asyncio.to_thread(fetch, ports[80], b"GET / HTTP/1.1\r\n\r\n", finish=False)).endswith(b"y" * 300_000)
        data = os.urandom(400_000)
        echoes = await asyncio.gather(*(asyncio.to_thread(fetch, ports[82], data, finish=True) for _ in range(5)))
        assert all(echo == data for echo in echoes)
        await until(lambda: streaming.node.running == 0)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.to_thread(fetch, ports[81], b"x", finish=True) == b""
        output = b""
        while b"connection refused" not in output:
            line = await asyncio.to_thread(process.stdout.readline)
            assert line, output
            output += line
        assert b"error forwarding port 81 to pod p, uid u1: failed to connect to localhost:81 inside the pod" in output
