"""ProcessList of real processes in real cgroups, compared with what the kernel says."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.unit.kubelet.doubles import pod

from polong.kubelet.host.processes import Group, Reader
from polong.kubelet.host.processlist import process_list
from polong.linux.cgroups import Cgroups

Json = dict[str, Any]

pytestmark = pytest.mark.root


class Shell:
    """A shell in a cgroup of its own, which does what it is told."""

    def __init__(self, cgroups: Cgroups, path: str) -> None:
        self.cgroups, self.path = cgroups, path
        cgroups.create(path)
        self.child = subprocess.Popen(["/bin/sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        cgroups.attach(path, self.child.pid)

    def say(self, command: str) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(f"{command}\n".encode())
        self.child.stdin.flush()

    def close(self) -> None:
        for pid in self.cgroups.processes(self.path):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.child.kill()
        self.child.communicate()
        eventually(lambda: not self.cgroups.processes(self.path))
        self.cgroups.delete(self.path)


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def cgroups() -> Cgroups:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    return Cgroups()


@pytest.fixture
def top(cgroups: Cgroups) -> Iterator[str]:
    path = f"/polong-test-{uuid4().hex[:8]}"
    yield path
    cgroups.delete(path)


def items(cgroups: Cgroups, *groups: Group) -> list[Json]:
    found: list[Json] = process_list(pod(), groups, Reader(members=cgroups.processes))["items"]
    return found


def test_members_children_and_strangers(cgroups: Cgroups, top: str) -> None:
    shell = Shell(cgroups, f"{top}/c1")
    try:
        group = Group("app", "c1", f"{top}/c1", shell.child.pid)
        shell.say("sleep 1234 & (sleep 4321 &) ; sleep 0.01")
        wanted = ["/bin/sh", "sleep 1234", "sleep 4321"]
        eventually(lambda: sorted(" ".join(each["command"]) for each in items(cgroups, group)) == wanted)
        by_words = {" ".join(each["command"]): each for each in items(cgroups, group)}
        assert by_words["/bin/sh"]["role"] == "main"
        assert by_words["sleep 1234"]["role"] == "child"
        assert by_words["sleep 1234"]["parentHostPID"] == shell.child.pid
        assert by_words["sleep 4321"]["parentHostPID"] == 0
        for each in by_words.values():
            status = Path(f"/proc/{each['hostPID']}/status").read_text()
            (inner,) = [line.split()[-1] for line in status.splitlines() if line.startswith("NSpid:")]
            assert each["pid"] == int(inner)
            assert (each["uid"], each["user"]) == (0, "root")
        assert os.getpid() not in {each["hostPID"] for each in by_words.values()}
    finally:
        shell.close()


def test_a_zombie_is_found_though_no_cgroup_lists_it(cgroups: Cgroups, top: str) -> None:
    shell = Shell(cgroups, f"{top}/c1")
    try:
        group = Group("app", "c1", f"{top}/c1", shell.child.pid)
        # The shell becomes a process that never reaps the child it inherits.
        shell.say("sleep 0.05 & exec sleep 1000")
        eventually(lambda: [each for each in items(cgroups, group) if each["zombie"]])
        (zombie,) = [each for each in items(cgroups, group) if each["zombie"]]
        assert (zombie["state"], zombie["command"], zombie["name"], zombie["container"]) == ("Z", [], "sleep", "app")
        assert zombie["parentHostPID"] == shell.child.pid
        assert zombie["hostPID"] not in cgroups.processes(f"{top}/c1")
    finally:
        shell.close()


def test_pids_of_another_namespace(cgroups: Cgroups, top: str) -> None:
    shell = Shell(cgroups, f"{top}/c1")
    try:
        group = Group("app", "c1", f"{top}/c1", shell.child.pid)
        shell.say("exec unshare --pid --fork --kill-child /bin/sh -c 'sleep 1000 & read line'")
        eventually(lambda: any(each["command"][:1] == ["sleep"] for each in items(cgroups, group)))
        listed = items(cgroups, group)
        inner = {each["pid"]: each for each in listed if each["pidNamespace"] != str(os.stat("/proc/self/ns/pid").st_ino)}  # noqa: PTH116
        assert inner[1]["command"][0] == "/bin/sh"
        assert inner[1]["pid"] != inner[1]["hostPID"]
        (child,) = [each for each in inner.values() if each["command"][:1] == ["sleep"]]
        assert (child["parentPID"], child["parentHostPID"]) == (1, inner[1]["hostPID"])
    finally:
        shell.close()
