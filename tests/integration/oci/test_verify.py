"""What the kernel says between create and start, on good and on tampered containers; evil root file systems; with crun and runc."""

import asyncio
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from polong.kit.errors import FailedPrecondition, Invalid
from polong.linux import proc
from polong.oci import bundle, host, verify, vet
from polong.oci.spec.model import NODE, Mount, Namespaces, Resources, User

pytestmark = pytest.mark.root


async def created(node, config_changes=None, **changes) -> tuple[str, int, dict]:
    container, cgroup, directory = node.new()
    config = node.config("/bin/sleep", "1000", cgroup=cgroup, **changes)
    real = config if config_changes is None else config_changes(config)
    bundle.write(directory, real)
    pid = await node.runtime.create(container, directory)
    return container, pid, config


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"user": User(1000, 1001, (1002,))},
        {"readonly_rootfs": True},
        {"privileged": True, "no_new_privileges": False},
        {"namespaces": Namespaces(NODE, NODE, NODE, NODE)},
        {"capabilities": frozenset()},
        {"resources": Resources(memory=64 << 20, cpu_quota=50000, cpu_period=100000)},
    ],
)
async def test_an_honest_container_passes(node, changes):
    container, pid, config = await created(node, **changes)
    vet.rootfs(node.rootfs, config)
    verify.created(pid, config)
    await node.runtime.start(container)
    deadline = time.monotonic() + 10
    while proc.command(pid) != ("/bin/sleep", "1000"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    verify.started(pid, config)
    expected = 0 if changes.get("privileged") else 2
    assert proc.status(pid).seccomp == expected


def _user(config):
    return {**config, "process": {**config["process"], "user": {"uid": 0, "gid": 0, "additionalGids": [0, 7]}}}


def _caps(config):
    more = [*config["process"]["capabilities"]["bounding"], "CAP_SYS_ADMIN"]
    sets = {**config["process"]["capabilities"], "bounding": more, "permitted": more, "effective": more}
    return {**config, "process": {**config["process"], "capabilities": sets}}


def _cgroup(config):
    return {**config, "linux": {**config["linux"], "cgroupsPath": config["linux"]["cgroupsPath"] + "-other"}}


def _masks(config):
    return {**config, "linux": {**config["linux"], "maskedPaths": []}}


def _readonly(config):
    return {**config, "linux": {**config["linux"], "readonlyPaths": []}}


def _pid(config):
    return {**config, "linux": {**config["linux"], "namespaces": [item for item in config["linux"]["namespaces"] if item["type"] != "pid"]}}


def _privileges(config):
    return {**config, "process": {**config["process"], "noNewPrivileges": False}}


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (_user, "groups"),
        (_caps, "CAP_SYS_ADMIN"),
        (_cgroup, "cgroup"),
        (_masks, "not masked"),
        (_readonly, "not read-only"),
        (_pid, "node's pid namespace"),
        (_privileges, "no_new_privs"),
    ],
)
async def test_a_runtime_that_does_otherwise_is_caught(node, tamper, words):
    _, pid, config = await created(node, tamper)
    with pytest.raises(FailedPrecondition, match=words):
        verify.created(pid, config)


async def test_missing_seccomp_is_caught_after_start(node):
    container, pid, config = await created(
        node, lambda config: {**config, "linux": {k: v for k, v in config["linux"].items() if k != "seccomp"}}
    )
    verify.created(pid, config)
    await node.runtime.start(container)
    with pytest.raises(FailedPrecondition, match="seccomp"):
        verify.started(pid, config)


async def test_a_missing_volume_is_caught(node, tmp_path):
    (tmp_path / "volume").mkdir()
    container, cgroup, directory = node.new()
    config = node.config("/bin/sleep", "1000", cgroup=cgroup, mounts=(Mount(str(tmp_path / "volume"), "/data/here"),))
    bundle.write(directory, {**config, "mounts": [item for item in config["mounts"] if item["destination"] != "/data/here"]})
    pid = await node.runtime.create(container, directory)
    with pytest.raises(FailedPrecondition, match="nothing is mounted at /data/here"):
        verify.created(pid, config)


async def test_a_dead_container_is_named():
    with pytest.raises(FailedPrecondition, match="ended before it was started"):
        verify.created(2**22 + 1, {"process": {}, "linux": {}})


@pytest.mark.parametrize("target", ["absolute", "relative", "dangling"])
@pytest.mark.parametrize("place", ["dev", "proc", "sys"])
async def test_an_evil_image_is_refused_and_the_canary_lives(node, tmp_path, place, target):
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "ptmx").write_text("mine")
    (node.rootfs / place).rmdir()
    (node.rootfs / place).symlink_to({"absolute": str(canary), "relative": "../canary", "dangling": "/missing"}[target])
    before = sorted((path.name, path.stat().st_ino) for path in canary.iterdir())
    _, cgroup, _ = node.new()
    with pytest.raises(Invalid, match=f"/{place} is a symbolic link"):
        vet.rootfs(node.rootfs, node.config("/bin/sh", cgroup=cgroup))
    assert sorted((path.name, path.stat().st_ino) for path in canary.iterdir()) == before


async def test_the_fence_from_inside(node):
    container, _ = await node.container("/bin/sleep", "1000")
    script = (
        "for f in /proc/kcore /proc/keys /proc/timer_list; do [ -e $f ] && head -c1 $f | wc -c; done;"
        "cd /sys/fs/cgroup/pids 2>/dev/null || cd /sys/fs/cgroup; mkdir x 2>&1; (echo 1 > pids.max) 2>&1; cd /;"
        "(echo 1 > /proc/sys/kernel/core_pattern) 2>&1;"
        "mount -t tmpfs x /tmp 2>&1; /bin/busybox unshare -U true 2>&1; echo end"
    )
    process = await node.runtime.exec(
        container, node.document(container, "/bin/sh", "-c", script), stdin=False, cgroup=node.cgroup_of(container)
    )
    out, err = await asyncio.gather(_all(process.stdout), _all(process.stderr))
    await process.wait()
    await process.aclose()
    text = (out + err).decode()
    assert "1\n" not in text
    assert text.count("Read-only file system") >= 3, text
    assert text.lower().count("not permitted") + text.count("permission denied") >= 2, text
    assert "end" in text


async def test_no_descriptor_of_ours_is_inherited(node):
    leak = os.open("/", os.O_RDONLY)
    os.set_inheritable(leak, True)
    try:
        container, pid = await node.container("/bin/sleep", "1000")
        process = await node.runtime.exec(
            container, node.document(container, "/bin/sleep", "999"), stdin=False, cgroup=node.cgroup_of(container)
        )
        for each in (pid, process.pid):
            deadline = time.monotonic() + 10
            while proc.command(each)[0] != "/bin/sleep":
                assert time.monotonic() < deadline
                await asyncio.sleep(0.005)
            assert {int(entry.name) for entry in Path(f"/proc/{each}/fd").iterdir()} == {0, 1, 2}
        await process.aclose()
    finally:
        os.close(leak)


async def test_the_host_is_never_written_through_its_own_binaries(node):
    before = [Path(shutil.which(name, path="/usr/bin:/usr/sbin")).stat().st_mtime_ns for name in ("crun", "runc", "conmon")]
    container, _ = await node.container("/bin/sleep", "1000")
    script = "for p in /proc/[0-9]*/exe; do (echo x > $p) 2>/dev/null; done; true"
    for _ in range(3):
        process = await node.runtime.exec(
            container, node.document(container, "/bin/sh", "-c", script), stdin=False, cgroup=node.cgroup_of(container)
        )
        await process.wait()
        await process.aclose()
    assert before == [Path(shutil.which(name, path="/usr/bin:/usr/sbin")).stat().st_mtime_ns for name in ("crun", "runc", "conmon")]


async def _all(stream) -> bytes:
    data = b""
    while chunk := await stream.read():
        data += chunk
    return data


def test_privileged_devices_are_the_hosts(node):
    probed = replace(host.probe(), devices=host.devices())
    assert all(device.type in "cb" for device in probed.devices)
