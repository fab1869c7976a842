"""Cgroups, namespaces and mounts on the real kernel."""

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from polong.kit import ids
from polong.linux import cgroups, mountinfo, mounts, namespaces, proc, process
from polong.linux.cgroups import Cgroups

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def as_root():
    if os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.fixture(params=["as found", "v1 alone"])
def groups(request: pytest.FixtureRequest) -> Cgroups:
    layout = cgroups.detect()
    if request.param == "v1 alone":
        if layout.kind != cgroups.HYBRID:
            pytest.skip("needs a hybrid host")
        layout = replace(layout, kind=cgroups.V1, unified=None)
    return Cgroups(layout)


@pytest.fixture
def name(groups: Cgroups) -> Iterator[str]:
    made = f"/polong-test-k{os.getpid()}-{ids.name_suffix()}"
    yield made
    asyncio.run(groups.kill(made))
    groups.delete(made)


async def test_limits_counters_and_children(groups, name):
    groups.create(f"{name}/a/b", {"pids": {"limit": 20}, "memory": {"limit": 64 << 20}, "cpu": {"shares": 100}})
    child = process.spawn(["/bin/sleep", "100"])
    groups.attach(f"{name}/a/b", child.pid)
    assert groups.processes(name) == [child.pid]
    assert groups.processes(f"{name}/a/b") == [child.pid]
    stats = groups.stats(f"{name}/a/b")
    assert stats is not None
    assert stats.pids == 1
    assert groups.children(name) == [f"{name}/a/b", f"{name}/a"]
    with pytest.raises(OSError):
        groups.delete(name)
    await groups.kill(name)
    assert await child.wait() == 137
    await child.aclose()
    groups.delete(name)
    groups.delete(name)
    assert not groups.exists(name)


async def test_a_parent_that_others_use_is_left(groups, name):
    groups.create(f"{name}/ours")
    groups.create(f"{name}/theirs/empty")
    groups.delete(f"{name}/ours")
    groups.delete_if_empty(name)
    assert groups.exists(f"{name}/theirs/empty")
    groups.delete(f"{name}/theirs")
    groups.delete_if_empty(name)
    groups.delete_if_empty(name)
    assert not groups.exists(name)


async def test_device_rules_reach_the_kernel(groups, name):
    if "devices" not in groups.layout.controllers:
        pytest.skip("device rules are files on cgroup v1 only")
    rules = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"},
        {"allow": True, "type": "c", "major": 136, "access": "rwm"},
    ]
    groups.create(f"{name}/some", {"devices": rules})
    groups.create(f"{name}/all", {"devices": [{"allow": True, "access": "rwm"}]})
    devices = groups.layout.controllers["devices"]
    assert (devices / name[1:] / "some/devices.list").read_text().splitlines() == ["c 1:3 rw", "c 136:* rwm"]
    assert (devices / name[1:] / "all/devices.list").read_text().splitlines() == ["a *:* rwm"]


async def test_a_fork_bomb_is_ended_while_a_neighbour_lives(groups, name):
    groups.create(f"{name}/bomb", {"pids": {"limit": 100}})
    groups.create(f"{name}/quiet")
    quiet = process.spawn(["/bin/sleep", "100"])
    groups.attach(f"{name}/quiet", quiet.pid)
    bomb = process.spawn(["/bin/sh", "-c", "read x; b() { b & b & while :; do /bin/true; done; }; b"], stdin=process.PIPE)
    groups.attach(f"{name}/bomb", bomb.pid)
    assert bomb.stdin is not None
    await bomb.stdin.write(b"go\n")
    deadline = time.monotonic() + 10
    while len(groups.processes(f"{name}/bomb")) < 50:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await groups.kill(f"{name}/bomb")
    assert not [pid for pid in groups.processes(f"{name}/bomb") if proc.alive(pid)]
    assert proc.alive(quiet.pid)
    await bomb.aclose()
    await quiet.aclose()


async def test_a_stopped_and_a_frozen_process_die_too(groups, name):
    groups.create(name)
    child = process.spawn(["/bin/sleep", "100"])
    groups.attach(name, child.pid)
    child.send(19)
    await groups.kill(name)
    assert await child.wait() == 137
    await child.aclose()


async def test_killing_what_is_not_there(groups):
    await groups.kill("/polong-test-nonexistent/x")


async def test_network_namespaces_are_pinned_and_let_go(tmp_path: Path):
    pin = tmp_path / "netns" / "one"
    own = namespaces.identity("/proc/self/ns/net")
    await namespaces.pin_network(pin)
    made = namespaces.identity(pin)
    await namespaces.pin_network(pin)
    assert namespaces.identity(pin) == made != own
    assert namespaces.identity("/proc/self/ns/net") == own
    assert namespaces.is_pinned(pin)
    namespaces.unpin(pin)
    namespaces.unpin(pin)
    assert not pin.exists()
    assert not [mount for mount in mountinfo.read() if mount.target == str(pin)]


def test_mounts_are_undone_by_what_they_are_not_by_name(tmp_path: Path):
    for sub in ("a", "b"):
        (tmp_path / sub).mkdir()
    mounts.execute([mounts.Tmpfs(str(tmp_path / "a"), size=1 << 20), mounts.Bind(str(tmp_path / "a"), str(tmp_path / "b"), readonly=True)])
    (tmp_path / "a" / "file").write_text("x")
    with pytest.raises(OSError, match="Read-only"):
        (tmp_path / "b" / "other").write_text("y")
    first = next(mount for mount in mountinfo.read() if mount.target == str(tmp_path / "a"))
    mounts.Tmpfs(str(tmp_path / "a")).execute()
    assert not mounts.unmount(first)
    assert mounts.unmount_below(tmp_path) == 3
    assert mounts.unmount_below(tmp_path) == 0


def test_a_failed_plan_leaves_no_mount(tmp_path: Path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="mount"):
        mounts.execute([mounts.Tmpfs(str(tmp_path / "a")), mounts.Bind("/nonexistent", str(tmp_path / "a"))])
    assert not mounts.below(tmp_path)


def test_unmounting_never_follows_a_link(tmp_path: Path):
    (tmp_path / "real").mkdir()
    mounts.Tmpfs(str(tmp_path / "real")).execute()
    (tmp_path / "link").symlink_to("real")
    found = next(mount for mount in mountinfo.read() if mount.target == str(tmp_path / "real"))
    assert not mounts.unmount(replace(found, target=str(tmp_path / "link")))
    assert mounts.unmount(found)
