"""/proc as values, from a made-up root and from the real one."""

import os
from pathlib import Path

import pytest

from polong.linux import proc

_STATUS = """Name:\tsh
PPid:\t1
NSpid:\t4242\t7
Uid:\t0\t101\t101\t101
Gid:\t5\t5\t5\t5
Groups:\t5 6
VmRSS:\t     123 kB
CapInh:\t0000000000000000
CapPrm:\t00000000a80425fb
CapEff:\t00000000a80425fb
CapBnd:\t00000000a80425fb
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
"""


def make(root: Path, pid: int, *, comm: str = "sh", start: int = 99, state: str = "S") -> Path:
    directory = root / str(pid)
    directory.mkdir(exist_ok=True)
    tail = [state, "1", "2", "3", "4", *["0"] * 6, "11", "12", *["0"] * 4, "1", "0", str(start), "4096", "10", *["0"] * 20]
    (directory / "stat").write_text(f"{pid} ({comm}) {' '.join(tail)}\n")
    (directory / "status").write_text(_STATUS)
    (directory / "cmdline").write_bytes(b"sh\0-c\0echo a b\0")
    (directory / "cgroup").write_text("5:cpu,cpuacct:/a:b\n0::/u\n")
    return directory


def test_a_snapshot_has_all_parts(tmp_path):
    make(tmp_path, 4242)
    found = proc.snapshot(4242, tmp_path)
    assert found is not None
    assert (found.stat.utime, found.stat.stime, found.stat.start_time, found.stat.rss) == (11, 12, 99, 10)
    assert found.status.ns_pids == (4242, 7)
    assert found.status.uids == (0, 101, 101, 101)
    assert (found.status.no_new_privileges, found.status.seccomp, found.status.rss_kib) == (True, 2, 123)
    assert found.command == ("sh", "-c", "echo a b")
    assert found.cgroups == {"cpu,cpuacct": "/a:b", "": "/u"}


@pytest.mark.parametrize("comm", ["a b", "x) S 1 (", ")", "new\nline"])
def test_no_name_can_forge_the_fields(tmp_path, comm):
    make(tmp_path, 5, comm=comm)
    found = proc.stat(5, tmp_path)
    assert (found.comm, found.state, found.ppid) == (comm, "S", 1)


def test_a_number_that_changed_hands_is_not_mixed(tmp_path, monkeypatch):
    make(tmp_path, 5, start=1)
    real = proc.command

    def swap(pid, root):
        result = real(pid, root)
        make(tmp_path, 5, start=2)
        return result

    monkeypatch.setattr(proc, "command", swap)
    assert proc.snapshot(5, tmp_path) is None
    assert not proc.alive(5, 1, tmp_path)
    assert proc.alive(5, 2, tmp_path)


def test_what_is_gone_or_dead(tmp_path):
    assert proc.snapshot(1, tmp_path) is None
    assert proc.start_time(1, tmp_path) is None
    make(tmp_path, 6, state="Z")
    assert not proc.alive(6, None, tmp_path)
    with pytest.raises(ProcessLookupError):
        proc.status(7, tmp_path)


def test_the_real_one():
    found = proc.snapshot(os.getpid())
    assert found is not None
    assert found.status.ppid == os.getppid()
    assert os.getpid() in proc.pids()
    assert len(proc.boot_id()) == 36
