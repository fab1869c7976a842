"""Mounts: volumes filled by images, read-only down to the last mount, propagation both ways; judged by what containers can do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import Invalid, NotFound
from polong.linux import mountinfo, syscalls
from polong.linux.flags import MNT, MS

pytestmark = pytest.mark.root
IMAGE = "docker.io/library/test-busybox:1"


def filled(path: str = "/data", image: str = IMAGE, **changes: Any) -> v1.Mount:
    return v1.Mount(container_path=path, readonly=True, image=v1.ImageSpec(image=image), **changes)


async def test_an_image_as_a_volume(node: Any) -> None:
    sandbox = await node.run()
    mounts = [filled(), filled("/only", image_sub_path="etc"), filled("/file", image_sub_path="etc/group")]
    container = await node.started(sandbox, "sleep", "1000", mounts=mounts)
    assert "worker" in await node.output(container, "cat", "/data/etc/passwd")
    assert await node.output(container, "/data/bin/busybox", "ls", "/only") == "group\npasswd\n"
    assert "extra" in await node.output(container, "cat", "/file")
    for place in ("/data/new", "/only/new"):
        assert b"Read-only" in (await node.exec(container, "sh", "-c", f"echo > {place}")).stderr
    image = (await node.service.image_status(v1.ImageStatusRequest(image=v1.ImageSpec(image=IMAGE)))).image
    told = (await node.status(container)).mounts[0].image
    # Field 20 of CRI 0.36, which these messages carry without knowing it: the id of the image that was used.
    assert image.id.encode() in told.SerializeToString()
    assert told.image == IMAGE
    # Its layers stay as long as the volume does, whatever becomes of the image's name.
    await node.service.remove_container(v1.RemoveContainerRequest(container_id=container))
    await node.until(lambda: not [each for each in node.census() if "volumes" in each])


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        (filled(image_sub_path="no/such"), "sub path"),
        (filled(image_sub_path="../etc"), "sub path"),
        (filled(image_sub_path="/etc"), "sub path"),
        (filled(image="docker.io/library/none:1"), "not present"),
        (v1.Mount(container_path="/data", image=v1.ImageSpec(image=IMAGE)), "read-only"),
    ],
)
async def test_an_image_volume_that_cannot_be(node: Any, mount: v1.Mount, words: str) -> None:
    sandbox = await node.run()
    with pytest.raises((Invalid, NotFound), match=words):
        await node.create(sandbox, "true", mounts=[mount])
    await node.remove_all()
    await node.until(lambda: not node.census())


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A mount of its own that tells its peers what is mounted below it, with one mount below."""
    top = tmp_path / "shared"
    (top / "below").mkdir(parents=True)
    syscalls.mount("tmpfs", str(top), "tmpfs")
    try:
        syscalls.mount("", str(top), flags=MS.SHARED)
        (top / "below").mkdir()
        (top / "later").mkdir()
        (top / "inside").mkdir()
        syscalls.mount("tmpfs", str(top / "below"), "tmpfs")
        yield top
    finally:
        for place in ("inside", "later", "below", "."):
            with contextlib.suppress(OSError):
                syscalls.umount2(str(top / place), MNT.DETACH)


async def test_recursive_read_only_reaches_the_mounts_below(node: Any, shared: Path) -> None:
    sandbox = await node.run()
    mounts = [
        v1.Mount(host_path=str(shared), container_path="/plain", readonly=True),
        v1.Mount(host_path=str(shared), container_path="/whole", readonly=True, recursive_read_only=True),
    ]
    container = await node.started(sandbox, "sleep", "1000", mounts=mounts)
    assert (await node.exec(container, "sh", "-c", "echo > /plain/new")).exit_code != 0
    assert (await node.exec(container, "sh", "-c", "echo > /plain/below/new")).exit_code == 0
    for place in ("/whole/new", "/whole/below/new"):
        assert b"Read-only" in (await node.exec(container, "sh", "-c", f"echo > {place}")).stderr


@pytest.mark.parametrize(
    ("propagation", "arrives", "leaves"),
    [
        (v1.PROPAGATION_PRIVATE, False, False),
        (v1.PROPAGATION_HOST_TO_CONTAINER, True, False),
        (v1.PROPAGATION_BIDIRECTIONAL, True, True),
    ],
)
async def test_propagation(node: Any, shared: Path, propagation: int, arrives: bool, leaves: bool) -> None:
    config = v1.LinuxPodSandboxConfig()
    config.security_context.privileged = True
    sandbox = await node.run(linux=config)
    linux = v1.LinuxContainerConfig()
    linux.security_context.privileged = True
    mount = v1.Mount(host_path=str(shared), container_path="/v", propagation=propagation)
    container = await node.started(sandbox, "sleep", "1000", linux=linux, mounts=[mount])
    syscalls.mount("tmpfs", str(shared / "later"), "tmpfs")
    (shared / "later" / "flag").touch()
    assert (await node.output(container, "ls", "/v/later") == "flag\n") is arrives
    await node.output(container, "busybox", "mount", "-t", "tmpfs", "tmpfs", "/v/inside")
    await node.output(container, "sh", "-c", "echo > /v/inside/flag")
    assert (shared / "inside" / "flag").exists() is leaves
    assert any(mount.target == str(shared / "inside") for mount in mountinfo.read()) is leaves


async def test_ambient_capabilities_reach_a_process_that_is_not_root(node: Any) -> None:
    config = v1.LinuxContainerConfig()
    security = config.security_context
    security.run_as_user.value = 101
    security.capabilities.add_ambient_capabilities.append("NET_BIND_SERVICE")
    container = await node.started(await node.run(), "sleep", "1000", linux=config)
    said = dict(line.split(":\t") for line in (await node.output(container, "grep", "^Cap", "/proc/1/status")).splitlines())
    assert said is not None
    own = dict(line.split(":\t") for line in Path(f"/proc/{node.pid(container)}/status").read_text().splitlines() if line.startswith("Cap"))
    assert int(own["CapAmb"], 16) == int(own["CapEff"], 16) == int(own["CapInh"], 16) == 1 << 10


async def test_mounts_below_mounts(either: Any, tmp_path: Path) -> None:
    """A volume inside of a volume, a file in it, one of them read-only: put together ahead, so that no path is walked twice."""
    outer, inner, third = (tmp_path / name for name in ("outer", "inner", "third"))
    for each in (outer, inner, third):
        each.mkdir()
        (each / "name").write_text(each.name)
    (outer / "v2").mkdir()
    (outer / "current").symlink_to("v2")
    (tmp_path / "file").write_text("file")
    mounts = [
        v1.Mount(host_path=str(third), container_path="/o/in/deep/third"),
        v1.Mount(host_path=str(inner), container_path="/o/in", readonly=True),
        v1.Mount(host_path=str(outer), container_path="/o"),
        v1.Mount(host_path=str(tmp_path / "file"), container_path="/o/files/one", readonly=True),
        v1.Mount(host_path=str(third), container_path="/o/current/third"),
        v1.Mount(host_path=str(outer), container_path="/sealed", readonly=True),
        v1.Mount(host_path=str(inner), container_path="/sealed/in"),
    ]
    sandbox = await either.run()
    container = await either.started(sandbox, "sleep", "1000", mounts=mounts)
    shown = "cat /o/name /o/in/name /o/in/deep/third/name /o/files/one /o/v2/third/name /sealed/name /sealed/in/name"
    assert await either.output(container, "sh", "-c", shown) == "outerinnerthirdfilethirdouterinner"
    for place, writable in (("/o", True), ("/o/in", False), ("/o/in/deep/third", True), ("/sealed", False), ("/sealed/in", True)):
        assert ((await either.exec(container, "sh", "-c", f"echo x > {place}/new")).exit_code == 0) is writable, place
    assert (await either.exec(container, "sh", "-c", "echo x > /o/files/one")).exit_code != 0
    # The status tells what was asked.
    assert [each.container_path for each in (await either.status(container)).mounts] == [each.container_path for each in mounts]
    # Mounted here alone: neither the host nor a neighbour of the volume sees it.
    assert not list((outer / "in").iterdir())
    other = await either.started(sandbox, "ls", "/v/in", mounts=[v1.Mount(host_path=str(outer), container_path="/v")])
    assert (await either.over(other)).exit_code == 0
    assert either.log(other) == ""
    (outer / "out").symlink_to("/")
    mounts = [v1.Mount(host_path=str(outer), container_path="/o"), v1.Mount(host_path=str(inner), container_path="/o/out/x")]
    with pytest.raises(Invalid, match="cannot mount below /o"):
        await either.create(sandbox, "true", mounts=mounts)
