"""The node itself: killed, it loses nothing; stopped, it leaves nothing."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.cluster import ARCHIVES, Client, Node, busybox, eventually, pod


@pytest.fixture
def other(node: Node, tmp_path: Path) -> Iterator[Node]:
    """A second node on the same host, for tests that are not kind to it."""
    (tmp_path / "home").mkdir()
    other = Node(tmp_path / "root", tmp_path / "home")
    try:
        other.up()
        other.polong("images", "import", str(ARCHIVES / "busybox.tar"))
        yield other
    finally:
        other.polong.try_("up")
        other.down()


def daemon_pid(node: Node) -> int:
    return int((node.root / "lock").read_text().split()[0])


def identities(client: Client, name: str) -> tuple[str, list[tuple[str, int]]]:
    """What must not change: the Pod's UID, its containers and how often each was restarted."""
    found = client.json("get", "pod", name)
    return found["metadata"]["uid"], [(each["containerID"], each["restartCount"]) for each in found["status"]["containerStatuses"]]


def lasting(client: Client, name: str) -> list[str]:
    """Lines of `ps` for the processes that live as long as the Pod."""
    lines = client("exec", name, "-c", "count", "--", "ps", "ax").splitlines()
    return [line for line in lines if line.endswith(("/pause", "sleep 1000"))]


def host_traces(node: Node) -> list[str]:
    """Whatever on this host carries the node's id."""
    identity = hashlib.sha256(str(node.root.resolve()).encode()).hexdigest()[:8]
    # os.walk, for cgroups of others come and go while this looks.
    found = [path for path, _, _ in os.walk("/sys/fs/cgroup") if identity in path.rpartition("/")[2]]
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if identity in line or str(node.root) in line]
    found += [path.name for path in Path("/sys/class/net").iterdir() if identity in path.name]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout
    found += [line for line in tables.splitlines() if identity in line]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(node.root) in words:
                found.append(f"process {entry.name}: {words}")
    run = Path("/run/polong") / identity
    return found + ([str(run)] if run.exists() else [])


def test_sigkill_of_the_daemon_loses_nothing(other: Node) -> None:
    polong = other.polong
    script = "i=0; while sleep 0.1; do i=$((i+1)); echo $i; done"
    polong.apply(pod("survivor", busybox("count", script), busybox("peer", "sleep 1000"), shareProcessNamespace=True))
    polong.ready("survivor")
    before, processes = identities(polong, "survivor"), lasting(polong, "survivor")
    assert len(processes) == 2
    os.kill(daemon_pid(other), signal.SIGKILL)
    eventually(lambda: polong.try_("get", "pods").returncode != 0, "the daemon to be gone", 10)
    time.sleep(0.5)  # log lines written while nobody watches are the point
    polong("up")
    polong.ready("survivor")
    assert identities(polong, "survivor") == before
    assert lasting(polong, "survivor") == processes
    numbers = [int(line) for line in polong("logs", "survivor", "-c", "count").split()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 8


def test_down_leaves_nothing_behind(other: Node) -> None:
    polong = other.polong
    polong.apply(pod("last", busybox("one", "sleep 1000"), busybox("two", "sleep 1000"), shareProcessNamespace=True))
    polong.ready("last")
    assert host_traces(other)
    other.down()
    assert host_traces(other) == []


def test_down_spares_the_cgroups_of_other_nodes(node: Node, other: Node) -> None:
    def groups() -> set[str]:
        identity = hashlib.sha256(str(node.root.resolve()).encode()).hexdigest()[:8]
        return {str(path) for path in Path("/sys/fs/cgroup").glob(f"**/polong/{identity}/**/") if "/pod" not in str(path)}

    node.polong.apply(pod("passing", busybox("one", "sleep 1000")))
    node.polong.ready("passing")
    node.polong("delete", "pod", "passing", "--grace-period=0", "--force")
    before = groups()
    assert before
    other.down()
    assert groups() == before


def test_a_second_up_says_that_it_runs(other: Node) -> None:
    said = other.polong("up")
    assert "already runs" in said
    refused = other.polong.try_("up", "--port", "1")
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1


def test_two_nodes_do_not_see_each_other(node: Node, other: Node) -> None:
    other.polong.apply(pod("alone", busybox("one", "sleep 1000")))
    other.polong.ready("alone")
    assert "alone" not in node.polong("get", "pods", "-o", "name")
