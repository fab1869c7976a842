"""/proc as values, from a made-up root and from the real one."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from polong.linux import proc

_STATUS = """Name:\tsh
PPid:\t1
Uid:\t0\t101\t101\t101
Gid:\t5\t5\t5\t5
Groups:\t5 6
NSpid:\t4242\t7
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


def test_a_handle_reads_all_parts(tmp_path):
    make(tmp_path, 4242)
    with proc.Handle(4242, tmp_path) as handle:
        stat, status = handle.stat(), handle.status()
        assert (stat.utime, stat.stime, stat.start_time, stat.rss) == (11, 12, 99, 10)
        assert status.ns_pids == (4242, 7)
        assert status.uids == (0, 101, 101, 101)
        assert (status.no_new_privileges, status.seccomp, status.rss_kib) == (True, 2, 123)
        assert handle.ids() == proc.Ids(101, 5, (4242, 7))
        assert handle.command() == ("sh", "-c", "echo a b")
        assert handle.cgroups() == {"cpu,cpuacct": "/a:b", "": "/u"}


@pytest.mark.parametrize("comm", ["a b", "x) S 1 (", ")", "new\nline"])
def test_no_name_can_forge_the_fields(tmp_path, comm):
    make(tmp_path, 5, comm=comm)
    found = proc.stat(5, tmp_path)
    assert (found.comm, found.state, found.ppid) == (comm, "S", 1)


def test_a_handle_stays_with_its_process(tmp_path):
    make(tmp_path, 5, start=1)
    with proc.Handle(5, tmp_path) as handle:
        (tmp_path / "5").rename(tmp_path / "gone")
        make(tmp_path, 5, start=2)
        assert handle.stat().start_time == 1
    assert not proc.alive(5, 1, tmp_path)
    assert proc.alive(5, 2, tmp_path)


def test_a_handle_of_a_real_process_that_ended():
    with subprocess.Popen(["sleep", "60"]) as child, proc.Handle(child.pid) as handle:
        # Popen returns when the new program closes its descriptors, a moment before it has its arguments.
        deadline = time.monotonic() + 5
        while handle.command() != ("sleep", "60"):
            assert time.monotonic() < deadline
        child.kill()
        child.wait()
        for read in (handle.stat, handle.status, handle.ids, handle.command, handle.cgroups):
            with pytest.raises(ProcessLookupError):
                read()
        assert (handle.rollup(), handle.open_files(), handle.namespace("pid")) == (None, None, 0)


@pytest.mark.parametrize("body", ["", "Name:\tsh\n", "4242 (sh"])
def test_files_that_were_cut_belong_to_nobody(tmp_path, body):
    directory = make(tmp_path, 5)
    for name in ("stat", "status"):
        (directory / name).write_text(body)
    with proc.Handle(5, tmp_path) as handle:
        for read in (handle.stat, handle.status, handle.ids):
            with pytest.raises(ProcessLookupError):
                read()


def test_memory_and_open_files(tmp_path):
    directory = make(tmp_path, 5)
    (directory / "smaps_rollup").write_text("55-7f ---p 0 00:00 0 [rollup]\nRss: 900 kB\nPss:   640 kB\nPss_Anon: 9 kB\nSwap: 12 kB\n")
    (directory / "fd").mkdir()
    (directory / "fd/0").touch()
    with proc.Handle(5, tmp_path) as handle:
        assert handle.rollup() == proc.Rollup(640 * 1024, 12 * 1024)
        assert handle.open_files() == 1


def test_what_is_gone_or_dead(tmp_path):
    with pytest.raises(ProcessLookupError):
        proc.Handle(1, tmp_path)
    assert proc.start_time(1, tmp_path) is None
    make(tmp_path, 6, state="Z")
    assert not proc.alive(6, None, tmp_path)
    with pytest.raises(ProcessLookupError):
        proc.status(7, tmp_path)


def test_the_real_one():
    with proc.Handle(os.getpid()) as handle:
        assert handle.status().ppid == os.getppid()
        assert handle.ids() == proc.Ids(os.geteuid(), os.getegid(), handle.status().ns_pids)
        assert handle.rollup().pss > 0
        assert handle.namespace("pid") > 0
    assert os.getpid() in proc.pids()
    assert len(proc.boot_id()) == 36
