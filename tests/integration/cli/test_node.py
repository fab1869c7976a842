"""The node's verbs on a real host: what refuses to start says why and leaves nothing; what stops leaves nothing."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

COMMAND = [sys.executable, "-m", "polong"]


class Node:
    """A node of its own for one test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {**os.environ, "POLONG_ROOT": str(root)}
        self.environment.pop("KUBECONFIG", None)

    def __call__(self, *args: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*COMMAND, *args], env=self.environment, capture_output=True, text=True, timeout=timeout, check=False)

    @property
    def id(self) -> str:
        return hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:8]

    @property
    def pid(self) -> int:
        return int((self.root / "lock").read_text())

    def traces(self) -> list[str]:
        """What of this node is left on the host, beside its state directory."""
        found = [f"interface {path.name}" for path in Path("/sys/class/net").iterdir() if self.id in path.name]
        found += [f"cgroup {path}" for path in Path("/sys/fs/cgroup").rglob(self.id)]
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
        found += [line for line in tables.splitlines() if self.id in line]
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        found += [line for line in mounts if self.id in line or str(self.root) in line]
        found += [str(path) for path in [Path("/run/polong") / self.id] if path.exists()]
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if str(self.root).encode() in words:
                    found.append(f"process {entry.name}: {words!r}")
        return found


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    found = Node(tmp_path / "root")
    yield found
    if (Path("/run/polong") / found.id).exists():
        found("up", "--port", "0")
        done = found("down", "--grace-period", "0")
        assert done.returncode == 0, done.stderr


def test_up_status_down(node: Node) -> None:
    done = node("up", "--port", "0")
    assert done.returncode == 0, done.stderr
    assert f"export KUBECONFIG={node.root}/kubeconfig" in done.stdout
    assert (node.root / "kubeconfig").stat().st_mode & 0o777 == 0o600
    assert node.root.stat().st_mode & 0o777 == 0o700
    status = json.loads(node("status", "-o", "json").stdout)
    assert (status["running"], status["ready"], status["pid"]) == (True, True, node.pid)
    assert status["rssBytes"] < 100 << 20
    assert node("down").returncode == 0
    assert node.traces() == []
    assert node("status").returncode == 3
    assert node("down").returncode == 0


def test_the_next_up_keeps_port_network_and_credentials(node: Node) -> None:
    node("up", "--port", "0")
    before = [(node.root / name).read_bytes() for name in ("node.json", "kubeconfig")]
    node("down")
    assert node("up").returncode == 0
    assert [(node.root / name).read_bytes() for name in ("node.json", "kubeconfig")] == before


def test_a_second_engine_is_refused(node: Node) -> None:
    node("up", "--port", "0")
    again = node("up")
    assert (again.returncode, "already runs" in again.stdout) == (0, True)
    serve = node("serve")
    assert serve.returncode == 1
    assert serve.stderr == f"error: another engine already runs on {node.root} (pid {node.pid})\n"


def test_a_port_in_use(node: Node) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = node("up", "--port", str(port))
    assert done.returncode == 1
    assert done.stderr == f"error: port {port} on 127.0.0.1 is in use: choose another with --port, or --port 0 for any free one\n"
    assert node.traces() == []


def test_a_missing_runtime(node: Node) -> None:
    done = node("up", "--port", "0", "--runtime", "/no/such/runtime")
    assert done.returncode == 1
    assert done.stderr.startswith("error: OCI runtime /no/such/runtime not found: ")
    assert node.traces() == []


def without(node: Node, path: str, *args: str) -> subprocess.CompletedProcess[str]:
    """The command in a mount namespace in which `path`, a program or a directory, is hidden; what it starts stays in there."""
    hide = f"mount -t tmpfs none {path}" if Path(path).is_dir() else f"mount --bind /dev/null {path}"
    script = f'{hide} && exec "$@"'
    command = ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", *COMMAND, *args]
    return subprocess.run(command, env=node.environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_missing_monitor(node: Node) -> None:
    program = shutil.which("conmon")
    assert program
    done = without(node, program, "up", "--port", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: container monitor conmon not found: install it (Debian: apt install conmon)\n"
    assert node.traces() == []
    assert not node.root.exists()


def test_missing_network_plugins(node: Node) -> None:
    """Pods with hostNetwork run all the same, so the node starts and says what will not."""
    done = without(node, "/usr/lib/cni", "up", "--port", "0")
    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        "Warning: CNI plugins not found: bridge, host-local; Pods without hostNetwork cannot start: install containernetworking-plugins\n"
    )
    assert node("down").returncode == 0
    assert node.traces() == []


@pytest.mark.parametrize(
    ("cidr", "why"),
    [
        ("nonsense", "does not appear to be an IPv4 or IPv6 network"),
        ("10.0.0.0/33", "does not appear to be an IPv4 or IPv6 network"),
        ("10.0.0.1/24", "has host bits set"),
        ("fd00::/64", "an IPv4 network between /8 and /28 is needed"),
        ("10.0.0.0/31", "an IPv4 network between /8 and /28 is needed"),
        ("0.0.0.0/0", "an IPv4 network between /8 and /28 is needed"),
        ("127.7.0.0/24", "no Pod can be reached at such addresses"),
        ("169.254.7.0/24", "no Pod can be reached at such addresses"),
        ("224.0.7.0/24", "no Pod can be reached at such addresses"),
    ],
)
def test_a_broken_pod_network(node: Node, cidr: str, why: str) -> None:
    done = node("up", "--port", "0", "--pod-cidr", cidr)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: --pod-cidr {cidr}: ")
    assert why in done.stderr
    assert done.stderr.count("\n") == 1
    assert not node.root.exists()


def test_a_root_that_cannot_be(node: Node, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for root, why in (
        (tmp_path / "file", "not a directory"),
        (tmp_path / "file" / "below", "Not a directory"),
        (Path("/proc/x"), "No such"),
    ):
        done = node("up", "--port", "0", "--root", str(root))
        assert (done.returncode, done.stdout) == (1, "")
        assert why in done.stderr
        assert done.stderr.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_a_root_on_a_disk_that_cannot_be_written(node: Node, tmp_path: Path) -> None:
    for options, why in (("ro", "Read-only file system"), ("size=64k", "no space left on its disk")):
        place = tmp_path / options
        place.mkdir()
        script = f'mount -t tmpfs -o {options} none {place} && exec "$@"'
        command = ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", *COMMAND, "up", "--port", "0", "--root"]
        done = subprocess.run(
            [*command, str(place / "root")], env=node.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert why in done.stderr
        assert done.stderr.count("\n") == 1


def test_flags_of_a_running_node_are_not_ignored(node: Node) -> None:
    node("up", "--port", "0")
    for flag, value in (("--port", "1"), ("--runtime", "runc"), ("--pod-cidr", "10.99.0.0/24")):
        done = node("up", flag, value)
        assert done.returncode == 1
        assert f"already runs with {flag} " in done.stderr
        assert done.stderr.count("\n") == 1


def test_without_root_rights(node: Node) -> None:
    for verb in ("up", "down", "serve"):
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--clear-groups", *COMMAND, verb],
            env=node.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("error: this needs root: ")
        assert done.stderr.count("\n") == 1


def test_a_start_that_fails_leaves_nothing_half_made(node: Node) -> None:
    """The database is no database: the engine ends while starting, and says why."""
    (node.root / "store").mkdir(parents=True)
    (node.root / "store" / "state.db").write_bytes(b"this is no database" * 1000)
    done = node("up", "--port", "0")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "state.db" in done.stderr
    assert node.traces() == []


def test_a_lock_that_nobody_holds_any_more_is_taken(node: Node) -> None:
    node("up", "--port", "0")
    pid = node.pid
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    with (node.root / "lock").open() as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
    assert node("status").returncode == 3
    assert node("up").returncode == 0
    assert node.pid != pid


def test_a_node_that_died_is_taken_down_all_the_same(node: Node) -> None:
    node("up", "--port", "0")
    os.kill(node.pid, signal.SIGKILL)
    done = node("down")
    assert done.returncode == 0, done.stderr
    assert "starting it to remove them" in done.stderr
    assert node.traces() == []


def test_keep_pods_keeps_the_network_for_them(node: Node) -> None:
    node("up", "--port", "0")
    assert node("down", "--keep-pods").returncode == 0
    assert any(line.startswith("interface") for line in node.traces())
    assert node("up").returncode == 0
    assert node("down").returncode == 0
    assert node.traces() == []
