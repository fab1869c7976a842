"""Faults of the machine and of the programs under us: what is said of them, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.cri.conftest import Node

from polong.criapi.wire import v1
from polong.kit.errors import PolongError
from polong.linux import mounts, proc, process, syscalls
from polong.linux.flags import MNT, MS

pytestmark = pytest.mark.root


async def build(node: Any) -> None:
    node.service = node._build()
    await node.service.start()


# --- the disk ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def narrow(node: Any) -> AsyncIterator[Any]:
    """A node whose directory of exit files is a file system of its own, with no room left in it."""
    exits = node.directory / "run" / "exits"
    mounts.Tmpfs(str(exits), size=4096, mode=0o700, flags=MS.NOSUID | MS.NODEV, source="exits").execute()
    try:
        yield node
    finally:
        while os.path.ismount(exits):
            syscalls.umount2(str(exits), MNT.DETACH)


async def test_an_exit_that_could_not_be_written_down_is_unknown_and_never_completed(narrow: Any) -> None:
    exits = narrow.directory / "run" / "exits"
    sandbox = await narrow.run()
    container = await narrow.started(sandbox, "sleep", "0.3")
    (exits / "filler").write_bytes(b"x" * 4096)
    status = await narrow.over(container)
    assert (status.state, status.exit_code, status.reason) == (v1.CONTAINER_EXITED, 255, "ContainerStatusUnknown")
    (exits / "filler").unlink()
    later = await narrow.started(sandbox, "sh", "-c", "exit 3")
    assert (await narrow.over(later)).exit_code == 3
    await narrow.remove_all()
    syscalls.umount2(str(exits), MNT.DETACH)


async def test_the_same_where_the_directory_became_read_only(narrow: Any) -> None:
    exits = narrow.directory / "run" / "exits"
    container = await narrow.started(await narrow.run(), "sh", "-c", "sleep 0.3; exit 0")
    await _remount(exits)
    status = await narrow.over(container)
    assert (status.exit_code, status.reason) == (255, "ContainerStatusUnknown")
    syscalls.umount2(str(exits), MNT.DETACH)


async def _remount(path: Path) -> None:
    done = await process.run([shutil.which("mount"), "-o", "remount,ro", str(path)], timeout=10)
    assert done.code == 0, done


# --- records -----------------------------------------------------------------------------------------------------------------

_DAMAGES = {
    "empty": lambda data: b"",
    "nul": lambda data: b"\0" * len(data),
    "cut": lambda data: data[: len(data) // 2],
    "version": lambda data: data.replace(b" 1 ", b" 9 ", 1),
    "foreign": lambda data: b"[]\n",
}


@pytest.mark.parametrize("damage", _DAMAGES)
async def test_a_damaged_record_costs_its_own_alone(node: Any, damage: str) -> None:
    kept, lost = await node.run(network=v1.POD), await node.run(network=v1.POD)
    one, two, three = [await node.started(each, "sleep", "1000") for each in (kept, lost, kept)]
    pids = {each: node.pid(each) for each in (one, two, three)}
    await node.service.aclose()
    state = node.directory / "state"
    broken = [next((state / "sandboxes").glob(f"{lost}*")), next((state / "containers").glob(f"{three}*"))]
    for path in broken:
        path.write_bytes(_DAMAGES[damage](path.read_bytes()))
    await build(node)
    # Its containers went with the sandbox that nobody knows; the others live on.
    assert set(node.engine.table.sandboxes) == {kept}
    assert set(node.engine.table.containers) == {one}
    assert proc.alive(pids[one])
    assert (await node.sandbox_status(kept)).state == v1.SANDBOX_READY
    await node.until(lambda: not proc.alive(pids[two]) and not proc.alive(pids[three]))
    assert not [each for each in node.census() if lost in each or three in each if not each.endswith(".bad")]
    again = await node.started(kept, "sleep", "1000")
    assert (await node.stop(again, 5)).exit_code == 143
    for path in broken:
        path.with_suffix(".bad").unlink()


# --- conmon and /pause -------------------------------------------------------------------------------------------------------


async def test_a_conmon_that_stands_still_holds_nothing_up(node: Any) -> None:
    sandbox = await node.run(pid=v1.POD)
    container, sibling = await node.started(sandbox, "sleep", "1000"), await node.started(sandbox, "sleep", "1000")
    conmon = node.engine.table.containers[container].record.conmon_pid
    os.kill(conmon, signal.SIGSTOP)
    try:
        async with asyncio.timeout(12):
            status = await node.stop(container, 1)
        assert (status.state, status.reason) == (v1.CONTAINER_EXITED, "ContainerStatusUnknown")
        assert (await node.status(sibling)).state == v1.CONTAINER_RUNNING
        await node.service.remove_container(v1.RemoveContainerRequest(container_id=container))
        await node.until(lambda: not proc.alive(conmon))
    finally:
        if proc.alive(conmon):
            os.kill(conmon, signal.SIGCONT)


async def test_a_conmon_that_dies_is_seen_within_two_seconds(node: Any) -> None:
    container = await node.started(await node.run(), "sh", "-c", "setsid sleep 333 & sleep 1000")
    record = node.engine.table.containers[container].record
    os.kill(record.conmon_pid, signal.SIGKILL)
    async with asyncio.timeout(2):
        status = await node.over(container)
    assert (status.exit_code, status.reason) == (255, "ContainerStatusUnknown")
    assert "conmon" in status.message
    assert not [pid for pid in node.groups.processes(record.cgroup) if proc.alive(pid)]


async def test_without_a_shared_namespace_containers_outlive_pause_until_they_are_stopped(node: Any) -> None:
    sandbox = await node.run(pid=v1.CONTAINER, network=v1.POD)
    container = await node.started(sandbox, "sleep", "1000")
    ip = (await node.sandbox_status(sandbox)).network.ip
    os.kill(node.pause(sandbox), signal.SIGKILL)
    await node.until(lambda: not node.engine.table.sandboxes[sandbox].ready)
    assert (await node.sandbox_status(sandbox)).state == v1.SANDBOX_NOTREADY
    assert (await node.status(container)).state == v1.CONTAINER_RUNNING
    # The network's pin holds the address until the sandbox is taken away.
    other = await node.run(network=v1.POD)
    assert (await node.sandbox_status(other)).network.ip != ip
    await node.service.stop_pod_sandbox(v1.StopPodSandboxRequest(pod_sandbox_id=sandbox))
    assert (await node.status(container)).state == v1.CONTAINER_EXITED


# --- the OCI runtime ---------------------------------------------------------------------------------------------------------

_WRAPPER = """#!/bin/sh
[ -e {mode} ] || exec {real} "$@"
verb=
for word in "$@"; do case $word in create|start|run|state|delete|exec|kill) verb=$word;; esac; done
read -r which what < {mode}
[ "$which" = "$verb" ] || exec {real} "$@"
case $what in
    sleep) sleep 1000;;
    nothing) exit 0;;
    garbage) echo '{{"status": [';;
    flood) head -c 50000000 /dev/zero >&2; exit 1;;
    fail) echo 'level=error msg="no such luck"' >&2; exit 1;;
esac
"""


@pytest.fixture
async def lying(tmp_path: Path) -> AsyncIterator[tuple[Any, Any]]:
    """A node over a runtime that does as it is told by a file, and the function that tells it."""
    mode, wrapper = tmp_path / "mode", tmp_path / "bin" / "crun"
    wrapper.parent.mkdir()
    wrapper.write_text(_WRAPPER.format(mode=mode, real=shutil.which("crun")))
    wrapper.chmod(0o755)
    node = Node(tmp_path / "node", str(wrapper))
    node.handler.runtime._timeout = node.handler.supervisor._timeout = 1.5

    def tell(*words: str) -> None:
        mode.unlink(missing_ok=True)
        if words:
            mode.write_text(" ".join(words) + "\n")

    try:
        await node.start()
        yield node, tell
        tell()
        await node.remove_all()
        await node.until(lambda: not node.census())
    finally:
        tell()
        await node.close()


async def live_on(node: Any, sandbox: str, good: str) -> None:
    assert (await node.status(good)).state == v1.CONTAINER_RUNNING
    another = await node.started(sandbox, "sleep", "1000")
    assert (await node.stop(another, 5)).exit_code == 143


@pytest.mark.parametrize("what", ["sleep", "nothing", "garbage", "flood", "fail"])
async def test_a_create_that_hangs_or_lies_harms_only_its_own(lying: Any, what: str) -> None:
    node, tell = lying
    sandbox = await node.run()
    good = await node.started(sandbox, "sleep", "1000")
    tell("create", what)
    async with asyncio.timeout(15):
        with pytest.raises(PolongError) as caught:
            # What the runtime refuses is told by the start.
            await node.started(sandbox, "sleep", "1000")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000
    tell()
    await live_on(node, sandbox, good)


@pytest.mark.parametrize("what", ["sleep", "flood", "fail"])
async def test_a_start_that_fails_is_told_in_one_line(lying: Any, what: str) -> None:
    node, tell = lying
    sandbox = await node.run()
    good, container = await node.started(sandbox, "sleep", "1000"), await node.create(sandbox, "sleep", "1000")
    tell("start", what)
    async with asyncio.timeout(15):
        with pytest.raises(PolongError) as caught:
            await node.service.start_container(v1.StartContainerRequest(container_id=container))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000
    tell()
    status = await node.over(container)
    assert (status.exit_code, status.reason) == (128, "StartError")
    await live_on(node, sandbox, good)


@pytest.mark.parametrize("what", ["nothing", "garbage"])
async def test_a_start_that_did_nothing_is_not_believed(lying: Any, what: str) -> None:
    node, tell = lying
    sandbox = await node.run()
    good, container = await node.started(sandbox, "sleep", "1000"), await node.create(sandbox, "sleep", "1000")
    tell("start", what)
    await node.service.start_container(v1.StartContainerRequest(container_id=container))
    status = await node.over(container)
    assert (status.exit_code, "did not start it" in status.message) == (137, True)
    tell()
    await live_on(node, sandbox, good)


@pytest.mark.parametrize("what", ["sleep", "fail", "nothing"])
async def test_a_delete_that_does_nothing_keeps_nothing(lying: Any, what: str) -> None:
    """What the runtime would take away is taken away without it; the fixture counts what is left."""
    node, tell = lying
    sandbox = await node.run(network=v1.POD)
    await node.started(sandbox, "sleep", "1000")
    tell("delete", what)
    with contextlib.suppress(PolongError):
        await node.service.remove_pod_sandbox(v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox))
    tell()
    await node.service.remove_pod_sandbox(v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox))
    await node.until(lambda: not node.census())


# --- root file systems -------------------------------------------------------------------------------------------------------


def merged(node: Any, container: str) -> Path:
    return node.directory / "images" / "rootfs" / container / "merged"


async def test_a_root_that_was_unmounted_on_the_host_harms_no_one(node: Any) -> None:
    container = await node.started(await node.run(), "sleep", "1000")
    syscalls.umount2(str(merged(node, container)), MNT.DETACH)
    assert await node.output(container, "cat", "/etc/group")
    assert (await node.stop(container, 5)).exit_code == 143


async def test_removal_does_not_go_into_what_somebody_mounted_there(node: Any, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "precious").write_text("alive")
    container = await node.started(await node.run(), "sleep", "1000")
    place = merged(node, container)
    mounts.Bind(str(canary), str(place / "tmp")).execute()
    mounts.Bind(str(canary), str(place)).execute()
    await node.service.remove_container(v1.RemoveContainerRequest(container_id=container))
    assert (canary / "precious").read_text() == "alive"
    assert not place.exists()


async def test_a_busy_root_is_let_go_when_its_last_user_is(node: Any) -> None:
    container = await node.started(await node.run(), "sleep", "1000")
    guest = process.spawn(["/bin/sleep", "1000"], cwd=merged(node, container))
    try:
        await node.service.remove_container(v1.RemoveContainerRequest(container_id=container))
        assert not merged(node, container).exists()
    finally:
        await guest.aclose()
