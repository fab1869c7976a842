"""Cgroups on a made-up tree: layouts, paths, counters. The real kernel is in tests/integration/linux."""

from pathlib import Path

import pytest

from polong.kit.errors import Internal
from polong.linux import cgroup_limits, cgroups, mountinfo


def mounts(*lines: str) -> list[mountinfo.Mount]:
    return mountinfo.parse("".join(f"{number} 1 0:{number} / {line}\n" for number, line in enumerate(lines, 30)))


V1 = ("/sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct", "/sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd")
UNIFIED = "/sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"


def test_the_three_layouts_are_told_apart():
    found = cgroups.detect(mounts(*V1, UNIFIED))
    assert (found.kind, found.unified) == ("hybrid", Path("/sys/fs/cgroup/unified"))
    assert found.controllers["cpu"] == found.controllers["cpuacct"] == Path("/sys/fs/cgroup/cpu,cpuacct")
    assert len(found.trees()) == 3
    assert cgroups.detect(mounts(*V1)).kind == "v1"
    assert cgroups.detect(mounts("/sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate")).kind == "v2"
    with pytest.raises(Internal, match="no cgroup hierarchy"):
        cgroups.detect([])


def test_a_bind_mount_of_a_part_is_no_hierarchy():
    table = mountinfo.parse("40 1 0:3 /docker/x /elsewhere rw - cgroup2 cgroup2 rw\n41 1 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    assert cgroups.detect(table).unified == Path("/sys/fs/cgroup")


@pytest.mark.parametrize("path", ["relative", "/", "", "/a/../b", "/a/.", "/a\nb"])
def test_bad_paths_are_refused(tmp_path, path):
    groups = cgroups.Cgroups(cgroups.Layout("v2", {}, tmp_path))
    with pytest.raises(ValueError, match="not the path of a cgroup"):
        groups.directories(path)


def test_counters_of_v2(tmp_path):
    group = tmp_path / "pod"
    group.mkdir()
    for name, text in {
        "cpu.stat": "usage_usec 1500\n",
        "memory.current": "1000\n",
        "memory.stat": "anon 600\ninactive_file 300\npgfault 5\npgmajfault 1\n",
        "pids.current": "4\n",
        "memory.events": "oom 2\noom_kill 1\n",
    }.items():
        (group / name).write_text(text)
    groups = cgroups.Cgroups(cgroups.Layout("v2", {}, tmp_path))
    assert groups.stats("/pod") == cgroups.Stats(1_500_000, 1000, 700, 4, 1, 600, 5, 1)
    assert groups.stats("/other") is None


def test_children_deepest_first(tmp_path):
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "a/d").mkdir()
    groups = cgroups.Cgroups(cgroups.Layout("v2", {}, tmp_path))
    assert groups.children("/a") == ["/a/b/c", "/a/b", "/a/d"]
    groups.delete("/a")
    groups.delete("/a")
    assert not groups.exists("/a")


RESOURCES = {
    "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"},
    "memory": {"limit": 1 << 20, "swap": 1 << 20},
    "pids": {"limit": 9},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
    "unified": {"memory.low": "5"},
}


def test_limits_as_files():
    assert cgroup_limits.v2(RESOURCES) == [
        ("cpu", "cpu.weight", "20"),
        ("cpu", "cpu.max", "50000 100000"),
        ("cpuset", "cpuset.cpus", "0"),
        ("memory", "memory.max", "1048576"),
        ("memory", "memory.swap.max", "0"),
        ("pids", "pids.max", "9"),
        ("hugetlb", "hugetlb.2MB.max", "0"),
        ("memory", "memory.low", "5"),
    ]
    files = [file for _, file, _ in cgroup_limits.v1(RESOURCES)]
    assert files.index("memory.limit_in_bytes") < len(files) - 1 - files[::-1].index("memory.memsw.limit_in_bytes")
    assert ("pids", "pids.max", "max") in cgroup_limits.v1({"pids": {"limit": -1}})
    assert cgroup_limits.v1({}) == cgroup_limits.v2({}) == []


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 39), (262144, 10000), (0, 1), (10**9, 10000)])
def test_shares_to_weight(shares, weight):
    assert cgroup_limits.weight(shares) == weight
