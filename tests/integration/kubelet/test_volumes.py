"""Volumes on a real kernel: tmpfs with its limit, and a removal that never crosses a mount."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.unit.kubelet.doubles import UID, FakeApi, container, pod

from polong.kit.clock import SystemClock
from polong.kubelet.downward import Allocatable
from polong.kubelet.volumes import Feeds, Instance, Volumes
from polong.kubelet.volumes.tokens import TokenManager
from polong.linux import mountinfo, mounts
from polong.objects.podreferences import Reference

pytestmark = pytest.mark.root


def mounted(path: Path) -> list[mountinfo.Mount]:
    return [each for each in mountinfo.read() if each.target.startswith(str(path))]


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    return Volumes(tmp_path / "kubelet", feeds(FakeApi()))


def feeds(api: FakeApi) -> Feeds:
    class Kept:
        async def get(self, namespace: str, reference: Reference) -> dict[str, Any] | None:
            return api.kept.get((namespace, reference))

    clock = SystemClock()
    return Feeds(Kept(), TokenManager(api, clock), Allocatable(2000, 4 << 30, 100 << 30), clock)


async def test_memory_is_a_tmpfs_of_that_size(volumes: Volumes, tmp_path: Path) -> None:
    own = pod(volumes=[{"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}, {"name": "d", "emptyDir": {}}])
    try:
        paths = await volumes.set_up(own)
        assert await volumes.set_up(own) == paths
        (mount,) = mounted(tmp_path)
        assert (mount.fstype, mount.target) == ("tmpfs", str(paths["m"]))
        assert [each.stat().st_mode & 0o7777 for each in paths.values()] == [0o777, 0o777]
        with pytest.raises(OSError, match="No space"):
            (paths["m"] / "big").write_bytes(b"x" * (2 << 20))
    finally:
        await volumes.remove(UID)
    assert not mounted(tmp_path)
    assert volumes.held() == set()


async def test_the_group_of_the_pod_owns_its_directories(volumes: Volumes) -> None:
    own = pod(volumes=[{"name": "d", "emptyDir": {}}], securityContext={"fsGroup": 4242})
    try:
        paths = await volumes.set_up(own)
        found = paths["d"].stat()
        assert (found.st_gid, found.st_mode & 0o7777) == (4242, 0o2777)
    finally:
        await volumes.remove(UID)


async def test_what_is_mounted_in_a_volume_survives_its_removal(volumes: Volumes, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").write_text("still here")
    own = pod(volumes=[{"name": "d", "emptyDir": {}}])
    paths = await volumes.set_up(own)
    inside = paths["d"] / "inside"
    inside.mkdir()
    mounts.Bind(str(canary), str(inside)).execute()
    try:
        await volumes.remove(UID)
    finally:
        mounts.unmount_below(tmp_path)
    assert (canary / "file").read_text() == "still here"
    assert volumes.held() == set()


async def test_a_container_gets_its_files(volumes: Volumes) -> None:
    app = container(volumeMounts=[{"name": "d", "mountPath": "/d", "readOnly": True}])
    own = pod(app, volumes=[{"name": "d", "emptyDir": {}}])
    try:
        found = await volumes.mounts(own, app, Instance(0, await volumes.set_up(own), ["10.0.0.2"]))
        assert [(each.container_path, each.read_only) for each in found] == [
            ("/d", True),
            ("/etc/hosts", False),
            ("/dev/termination-log", False),
        ]
        assert "10.0.0.2\tweb\n" in found[1].host_path.read_text()
        found[2].host_path.write_text("bye")
        assert volumes.message(UID, "app", 0) == "bye"
    finally:
        await volumes.remove(UID)


async def test_what_containers_make_of_a_directory_stays(volumes: Volumes) -> None:
    """A database wants 0700 on its directory, and keeps it when a neighbour restarts."""
    own = pod(volumes=[{"name": "d", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}}], securityContext={"fsGroup": 4242})
    try:
        paths = await volumes.set_up(own)
        for each in paths.values():
            each.chmod(0o700)
            os.chown(each, 999, 999)
        await volumes.set_up(own)
        assert {(each.stat().st_mode & 0o7777, each.stat().st_gid) for each in paths.values()} == {(0o700, 999)}
        # As a crash leaves it, between its making and its mode.
        paths["d"].chmod(0)
        await volumes.set_up(own)
        assert (paths["d"].stat().st_mode & 0o7777, paths["d"].stat().st_gid) == (0o2777, 4242)
    finally:
        await volumes.remove(UID)


async def test_memory_without_a_limit_is_what_the_pod_may_have(volumes: Volumes) -> None:
    app = container(resources={"limits": {"memory": "8Mi"}})
    sources = [{"name": "pod", "emptyDir": {"medium": "Memory"}}, {"name": "own", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    try:
        paths = await volumes.set_up(pod(app, volumes=sources))
        sizes = {name: os.statvfs(path).f_blocks * os.statvfs(path).f_frsize for name, path in paths.items()}
        assert sizes == {"pod": 8 << 20, "own": 1 << 20}
    finally:
        await volumes.remove(UID)
