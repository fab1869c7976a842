"""Pods with users of their own (KEP-127): what the kernel says of their processes, files, volumes and other namespaces."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import Invalid
from polong.linux import proc
from polong.oci.spec.security import MASKED_PATHS, READONLY_PATHS

pytestmark = pytest.mark.root
FIRST, COUNT = 327_680, 65_536
RANGE = [v1.IDMapping(host_id=FIRST, container_id=0, length=COUNT)]


def ns(pid: int, kind: str) -> str:
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


async def sandbox_of(node: Any, *, pid: int = v1.POD) -> str:
    config = v1.LinuxPodSandboxConfig()
    config.security_context.namespace_options.userns_options.CopyFrom(v1.UserNamespace(mode=v1.POD, uids=RANGE, gids=RANGE))
    return await node.run(pid=pid, network=v1.POD, linux=config)


async def test_a_shared_pod_with_users_of_its_own(either: Any) -> None:
    """Its PID namespace belongs to its user namespace, so /proc can be mounted in it, and both containers see each other."""
    sandbox = await sandbox_of(either)
    masked = v1.LinuxContainerConfig()
    masked.security_context.masked_paths.extend(MASKED_PATHS)
    masked.security_context.readonly_paths.extend(READONLY_PATHS)
    one, two = await either.started(sandbox, "sleep", "1000", linux=masked), await either.started(sandbox, "sleep", "2000")
    for kind in ("user", "pid", "ipc", "net", "uts"):
        assert ns(either.pid(one), kind) == ns(either.pid(two), kind) == ns(either.pause(sandbox), kind) != ns(os.getpid(), kind)
    assert (await either.output(one, "cat", "/proc/self/uid_map")).split() == ["0", str(FIRST), str(COUNT)]
    assert await either.output(one, "id", "-u") == "0\n"
    for pid in (either.pid(one), either.pause(sandbox)):
        assert set(proc.status(pid).uids) == {FIRST}
        assert set(proc.status(pid).gids) == {FIRST}
    assert "sleep 2000" in await either.output(one, "ps", "-o", "pid,args")
    assert "worker" in await either.output(one, "sh", "-c", "cat /proc/[0-9]*/root/etc/group")
    # What root of the Pod owns inside is nobody's on the host.
    assert (await either.output(one, "ls", "-lnd", "/etc", "/bin/busybox")).count(" 0 ") >= 2
    assert await either.output(one, "sh", "-c", "echo x > /etc/new && ls -ln /etc/new | grep -c ' 0 '") == "1\n"
    (upper,) = (either.directory / "images" / "rootfs" / one).glob("upper/etc/new")
    assert (upper.stat().st_uid, upper.stat().st_gid) == (FIRST, FIRST)
    # The masks and the read-only paths are those that were asked for; who names none in such a Pod has asked for none.
    assert await either.output(two, "sh", "-c", "cat /proc/interrupts | grep -c :") != "0\n"
    assert await either.output(one, "sh", "-c", "cat /proc/kcore /proc/keys | wc -c; echo 1 > /proc/sys/kernel/panic || true") == "0\n"
    assert await either.output(one, "ls", "/sys/class/net") != ""
    exec_uid = await either.output(one, "sh", "-c", "cat /proc/self/status | grep ^Uid")
    assert exec_uid.split()[1:] == ["0"] * 4


async def test_isolated_containers_and_users_inside(either: Any) -> None:
    sandbox = await sandbox_of(either, pid=v1.CONTAINER)
    config = v1.LinuxContainerConfig()
    config.security_context.run_as_user.value = 101
    container = await either.started(sandbox, "sleep", "1000", linux=config)
    assert set(proc.status(either.pid(container)).uids) == {FIRST + 101}
    assert await either.output(container, "id", "-u") == "101\n"
    assert await either.output(container, "cat", "/proc/1/cmdline") == "sleep\x001000\0"


async def test_volumes_are_seen_through_the_mapping_where_they_ask_for_it(either: Any, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir(mode=0o700)
    (volume / "roots").write_text("secret")
    (volume / "roots").chmod(0o600)
    (tmp_path / "file").write_text("one file")
    sandbox = await sandbox_of(either)
    mounts = [
        v1.Mount(host_path=str(volume), container_path="/mapped", uidMappings=RANGE, gidMappings=RANGE),
        v1.Mount(host_path=str(tmp_path / "file"), container_path="/one", uidMappings=RANGE, gidMappings=RANGE, readonly=True),
    ]
    container = await either.started(sandbox, "sleep", "1000", mounts=mounts)
    assert await either.output(container, "cat", "/mapped/roots") == "secret"
    assert await either.output(container, "cat", "/one") == "one file"
    assert await either.output(container, "sh", "-c", "echo inside > /mapped/new") == ""
    assert (volume / "new").stat().st_uid == 0
    assert [each.host_path for each in (await either.status(container)).mounts] == [str(volume), str(tmp_path / "file")]
    plain = await either.started(sandbox, "sleep", "1000", mounts=[v1.Mount(host_path=str(volume), container_path="/plain")])
    assert (await either.exec(plain, "cat", "/plain/roots")).exit_code != 0
    other = [v1.IDMapping(host_id=1000, container_id=0, length=COUNT)]
    wrong = [v1.Mount(host_path=str(volume), container_path="/x", uidMappings=other, gidMappings=other)]
    with pytest.raises(Invalid, match="otherwise than the Pod"):
        await either.create(sandbox, "true", mounts=wrong)


async def test_it_is_adopted_after_a_restart_and_leaves_nothing(either: Any) -> None:
    sandbox = await sandbox_of(either)
    container = await either.started(sandbox, "sleep", "1000")
    await either.restart()
    later = await either.started(sandbox, "sleep", "1000")
    assert ns(either.pid(later), "user") == ns(either.pid(container), "user")
    await either.service.stop_pod_sandbox(v1.StopPodSandboxRequest(pod_sandbox_id=sandbox))
    await either.service.remove_pod_sandbox(v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox))
    await either.until(lambda: not either.census())


@pytest.mark.parametrize("change", ["two ranges", "not from 0", "to root", "groups differ", "container mode", "node's network"])
async def test_what_cannot_be_is_refused_and_leaves_nothing(either: Any, change: str) -> None:
    config = v1.LinuxPodSandboxConfig()
    options = config.security_context.namespace_options.userns_options
    options.CopyFrom(v1.UserNamespace(mode=v1.POD, uids=RANGE, gids=RANGE))
    match change:
        case "two ranges":
            options.uids.append(v1.IDMapping(host_id=1, container_id=70_000, length=1))
        case "not from 0":
            options.uids[0].container_id = 1
        case "to root":
            options.uids[0].host_id = options.gids[0].host_id = 0
        case "groups differ":
            options.gids[0].host_id += 1
        case "container mode":
            options.mode = v1.CONTAINER
    with pytest.raises(Exception, match=r"mapping|map|mode|node"):
        await either.run(network=v1.NODE if change == "node's network" else v1.POD, linux=config)
    assert either.census() == []


async def test_what_an_image_declares_belongs_to_the_pods_root(node: Any) -> None:
    image = await node.image("declared", Volumes={"/data/deep": {}})
    container = await node.started(await sandbox_of(node), "sleep", "1000", image=image)
    assert await node.output(container, "sh", "-c", "echo mine > /data/deep/file && cat /data/deep/file") == "mine\n"
