from __future__ import annotations

import asyncio
from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import AlreadyExists, FailedPrecondition, Invalid, NotFound, PolongError


async def test_a_created_container(node: Any) -> None:
    sandbox = await node.run()
    container = await node.create(sandbox)
    status = await node.status(container)
    assert status.state == v1.CONTAINER_CREATED
    assert status.started_at == status.finished_at == 0
    assert status.image_ref.startswith("docker.io/library/busybox@sha256:")
    assert status.user.linux.uid == 0
    config = node.world.bundles[container]
    pause = node.engine.table.sandboxes[sandbox].record.pid
    kinds = {entry["type"]: entry.get("path", "") for entry in config["linux"]["namespaces"]}
    assert kinds["pid"] == f"/proc/{pause}/ns/pid"
    assert kinds["network"] == f"/run/netns/{sandbox}"
    assert config["process"]["args"] == ["sh"]
    assert config["linux"]["cgroupsPath"] == f"/polong/test/podpod/{container}"
    assert {"/etc/hostname", "/etc/resolv.conf", "/dev/shm"} <= {mount["destination"] for mount in config["mounts"]}


async def test_two_are_made_beside_each_other(node: Any) -> None:
    sandbox = await node.run()
    gate = node.world.gates["supervise"] = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        one, two = group.create_task(node.create(sandbox, "one")), group.create_task(node.create(sandbox, "two"))
        await node.until(lambda: sum(call.startswith("supervise") for call in node.world.calls) == 2)
        gate.set()
    assert one.result() != two.result()


@pytest.mark.parametrize("step", ["mount_rootfs", "supervise", "verify"])
async def test_nothing_half_made_stays_wherever_it_fails(node: Any, refusal: PolongError, step: str) -> None:
    sandbox = await node.run()
    before = node.census()
    node.world.fail[step] = refusal
    with pytest.raises(type(refusal), match="says no"):
        await node.create(sandbox)
    assert node.census() == before
    node.world.fail.clear()
    await node.create(sandbox)


async def test_a_cancelled_call_leaves_nothing(node: Any) -> None:
    sandbox = await node.run()
    before = node.census()
    node.world.gates["supervise"] = asyncio.Event()
    task = asyncio.get_running_loop().create_task(node.create(sandbox))
    await node.until(lambda: any(call.startswith("supervise") for call in node.world.calls))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert node.census() == before


async def test_stop_of_the_sandbox_waits_for_creations_and_refuses_new_ones(node: Any) -> None:
    sandbox = await node.run()
    gate = node.world.gates["supervise"] = asyncio.Event()
    loop = asyncio.get_running_loop()
    creation = loop.create_task(node.create(sandbox))
    await node.until(lambda: any(call.startswith("supervise") for call in node.world.calls))
    stop = loop.create_task(node.service.stop_pod_sandbox(v1.StopPodSandboxRequest(pod_sandbox_id=sandbox)))
    await asyncio.sleep(0)
    with pytest.raises(FailedPrecondition, match="not ready"):
        await node.create(sandbox, "late")
    gate.set()
    with pytest.raises(FailedPrecondition):
        await creation
    await stop
    await node.service.remove_pod_sandbox(v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox))
    assert node.census() == []


async def test_errors_of_the_request(node: Any) -> None:
    with pytest.raises(NotFound, match="no such sandbox"):
        await node.create("f" * 64)
    sandbox = await node.run()
    config = node.container_config()
    config.image.image = "missing"
    request = v1.CreateContainerRequest(pod_sandbox_id=sandbox, config=config)
    with pytest.raises(NotFound, match='image "missing" is not present'):
        await node.service.create_container(request)
    config = node.container_config()
    config.mounts.add(host_path="/nonexistent/volume", container_path="/data")
    with pytest.raises(Invalid, match="no such file or directory") as error:
        await node.service.create_container(v1.CreateContainerRequest(pod_sandbox_id=sandbox, config=config))
    assert error.value.reason == "CreateContainerError"
    config = node.container_config()
    config.log_path = "../../escape.log"
    sandbox_config = node.sandbox_config("logs")
    sandbox_config.log_directory = "/var/log/pods/x"
    run = await node.service.run_pod_sandbox(v1.RunPodSandboxRequest(config=sandbox_config))
    with pytest.raises(Invalid, match="log path"):
        await node.service.create_container(v1.CreateContainerRequest(pod_sandbox_id=run.pod_sandbox_id, config=config))


async def test_a_name_is_taken_until_its_container_is_removed(node: Any) -> None:
    sandbox = await node.run()
    container = await node.create(sandbox)
    with pytest.raises(AlreadyExists):
        await node.create(sandbox)
    await node.service.remove_container(v1.RemoveContainerRequest(container_id=container))
    await node.create(sandbox)


async def test_target_of_a_running_container(node: Any) -> None:
    sandbox = await node.run(pid=v1.CONTAINER)
    target = await node.started(sandbox, "app", pid=v1.CONTAINER)
    debugger = await node.create(sandbox, "debugger", pid=v1.TARGET, target=target)
    kinds = {entry["type"]: entry.get("path", "") for entry in node.world.bundles[debugger]["linux"]["namespaces"]}
    assert kinds["pid"] == f"/proc/{node.world.mains[target]}/ns/pid"
    node.world.end(target, 0)
    await node.over(target)
    with pytest.raises(FailedPrecondition, match="CONTAINER_EXITED"):
        await node.start(debugger)


async def test_a_hostile_image_is_vetted_before_the_runtime_sees_it(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = await node.run()
    mount = node.images.mount_rootfs

    async def evil(image_id: str, key: str, mapping: Any) -> Any:
        root = await mount(image_id, key, mapping)
        (root / "dev").rmdir()
        (root / "dev").symlink_to("/")
        return root

    monkeypatch.setattr(node.images, "mount_rootfs", evil)
    with pytest.raises(Invalid, match="symbolic link"):
        await node.create(sandbox)
    assert not any(call.startswith("supervise") for call in node.world.calls)
