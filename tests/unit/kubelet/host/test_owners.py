"""A PID to its Pod: from a process, from the kernel's log, from a line that somebody copied."""

from __future__ import annotations

from pathlib import Path

import pytest

from polong.kubelet.host.owners import Owners, pod_of

LINE = (
    "6,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c1,mems_allowed=0,"
    "oom_memcg=/polong/n/kubepods/burstable/pod1-2,task_memcg=/polong/n/kubepods/burstable/pod1-2/c1,task=a,b,pid=77,uid=0"
)


def test_a_process(tmp_path: Path) -> None:
    directory = tmp_path / "5"
    directory.mkdir()
    (directory / "stat").write_text(f"5 (sh) S {' '.join(['0'] * 30)}\n")
    (directory / "cmdline").write_text("sh\0-c\0")
    (directory / "cgroup").write_text("4:memory:/p/c1\n3:cpu:/p/c1\n0::/u\n")
    seen = Owners(tmp_path, list).sight(5)
    assert seen is not None
    assert (seen.name, seen.command, seen.cgroups, seen.ended) == ("sh", ("sh", "-c"), ("/p/c1", "/u"), "")


def test_one_that_the_oom_killer_ended(tmp_path: Path) -> None:
    owners = Owners(tmp_path, lambda: ["4,1,1,-;something else", LINE])
    seen = owners.sight(77)
    assert seen is not None
    assert (seen.name, seen.cgroups, seen.ended) == ("a,b", ("/polong/n/kubepods/burstable/pod1-2/c1",), "OOMKilled")
    assert owners.sight(78) is None


def test_a_number_that_was_given_again_is_not_the_one_that_was_killed(tmp_path: Path) -> None:
    test_a_process(tmp_path)
    heirs = Owners(tmp_path, lambda: [LINE.replace("pid=77", "pid=5")])
    seen = heirs.sight(5, killed=True)
    assert seen is not None
    assert (seen.name, seen.ended) == ("a,b", "OOMKilled")
    assert Owners(tmp_path, list).sight(5, killed=True) is None
    alive = heirs.sight(5)
    assert alive is not None
    assert not alive.ended


def test_a_hint_says_that_it_has_ended(tmp_path: Path) -> None:
    seen = Owners(tmp_path, list).sight(1, "/polong/n/kubepods/podx")
    assert seen is not None
    assert (seen.cgroups, seen.ended) == (("/polong/n/kubepods/podx",), "OOMKilled")


@pytest.mark.parametrize(
    ("path", "uid"),
    [
        ("/polong/n/kubepods/pod1-2", "1-2"),
        ("/polong/n/kubepods/besteffort/pod1-2/c1/inner", "1-2"),
        ("/docker/abc/polong/n/kubepods/burstable/podabc/c1", "abc"),
        ("/polong/m/kubepods/pod1-2", None),
        ("/polong/n/kubepods/pod../x", None),
        ("/", None),
    ],
)
def test_the_pod_of_a_cgroup(path: str, uid: str | None) -> None:
    found = pod_of(["/", path], "/polong/n")
    assert (found[0] if found else None) == uid
