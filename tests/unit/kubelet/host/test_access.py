"""Credentials as they are read from a /proc made by hand, and the filter of an OCI configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polong.kubelet.host.access import AccessReader, Member, pod_access, refused_calls, trials
from polong.kubelet.host.processes import Group
from polong.objects.access import Kernel
from polong.oci import apparmor

STATUS = """Name:\tx
PPid:\t1
NSpid:\t{pid}\t{inner}
Uid:\t{uid}\t{uid}\t{uid}\t{uid}
Gid:\t{uid}\t{uid}\t{uid}\t{uid}
Groups:\t
CapInh:\t0000000000000000
CapPrm:\t{caps:016x}
CapEff:\t{caps:016x}
CapBnd:\t{caps:016x}
"""


class Proc:
    """A /proc with the processes that a test names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.namespaces = root / "namespaces"
        self.namespaces.mkdir()
        self._links(root / "self/ns", "node")
        (root / "sys/kernel/yama").mkdir(parents=True)
        (root / "sys/kernel/osrelease").write_text("6.1.0-18-amd64\n")

    def _links(self, directory: Path, pid_namespace: str) -> None:
        directory.mkdir(parents=True)
        for kind, name in (("pid", pid_namespace), ("user", "node-user")):
            (self.namespaces / name).touch()
            (directory / kind).symlink_to(self.namespaces / name)

    def add(self, pid: int, uid: int, caps: int = 0, *, options: str = "rw", namespace: str = "pod") -> None:
        directory = self.root / str(pid)
        self._links(directory / "ns", namespace)
        (directory / "stat").write_text(f"{pid} (x) S 1 {' '.join(['0'] * 48)}\n")
        (directory / "status").write_text(STATUS.format(pid=pid, inner=pid - 100, uid=uid, caps=caps))
        (directory / "cmdline").write_bytes(b"sleep\0001\0")
        (directory / "mountinfo").write_text(f"1 1 0:1 / /proc rw - proc proc {options}\n")

    def reader(self) -> AccessReader:
        return AccessReader(members=lambda _: (), root=self.root, dumpable=lambda _pid, _root: True)


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


POD = {"metadata": {"name": "p", "namespace": "default", "uid": "u"}}
MEMBERS = [Member(Group("one", "1", "", 107)), Member(Group("two", "2", "", 108))]


def told(proc: Proc) -> dict[str, Any]:
    return pod_access(POD, trials(MEMBERS, proc.reader()), proc.reader().kernel())


def test_every_pair_is_told(proc: Proc) -> None:
    proc.add(107, 0, 1 << 19)
    proc.add(108, 1000)
    found = told(proc)
    verdicts = {(item["from"], item["to"]): item["verdicts"] for item in found["items"]}
    assert list(verdicts) == [("one", "two"), ("two", "one")]
    assert verdicts["one", "two"]["root"]["rule"] == "CAP_SYS_PTRACE"
    assert not verdicts["two", "one"]["signal"]["allowed"]
    assert found["items"][0]["process"] == {"pid": 8, "hostPID": 108, "uid": 1000, "gid": 1000, "command": ["sleep", "1"]}


def test_a_container_that_ended_meanwhile_is_left_out(proc: Proc) -> None:
    proc.add(107, 0)
    assert told(proc)["items"] == []


def test_hidepid_and_namespaces_are_read(proc: Proc) -> None:
    proc.add(107, 1, options="rw,hidepid=invisible")
    proc.add(108, 2)
    (hidden, open_) = told(proc)["items"]
    assert hidden["verdicts"]["see"]["rule"] == "hidepid"
    assert open_["verdicts"]["see"]["allowed"]


def test_the_kernel_is_asked_what_it_is(proc: Proc) -> None:
    closed = frozenset({"polong-default", "cri-containerd.apparmor.d", "crio-default"})
    assert proc.reader().kernel() == Kernel(0, perfmon_reads_memory=False, closed_profiles=closed)
    assert apparmor.DEFAULT in closed
    (proc.root / "sys/kernel/yama/ptrace_scope").write_text("2\n")
    (proc.root / "sys/kernel/osrelease").write_text("6.18.1\n")
    assert proc.reader().kernel() == Kernel(2, perfmon_reads_memory=True, closed_profiles=closed)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (None, set()),
        ({"defaultAction": "SCMP_ACT_ALLOW"}, set()),
        ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"}]}, {"ptrace"}),
        ({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["kill", "read"], "action": "SCMP_ACT_ALLOW"}]}, {"ptrace"}),
    ],
)
def test_the_filter_of_a_configuration(profile: dict[str, object] | None, expected: set[str]) -> None:
    assert refused_calls({"linux": {"seccomp": profile}}) == expected
