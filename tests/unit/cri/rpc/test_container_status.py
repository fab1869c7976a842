from __future__ import annotations

import json
from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import NotFound


async def test_verbose(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox)
    response = await node.service.container_status(v1.ContainerStatusRequest(container_id=container, verbose=True))
    info = json.loads(response.info["info"])
    assert info["pid"] == node.world.mains[container]
    assert info["sandboxID"] == sandbox
    assert info["runtimeSpec"]["linux"]["cgroupsPath"].endswith(container)


async def test_resources_and_their_update(node: Any) -> None:
    config = node.container_config()
    config.linux.resources.cpu_shares = 100
    sandbox = await node.run()
    made = await node.service.create_container(v1.CreateContainerRequest(pod_sandbox_id=sandbox, config=config))
    await node.service.update_container_resources(
        v1.UpdateContainerResourcesRequest(container_id=made.container_id, linux=v1.LinuxContainerResources(memory_limit_in_bytes=1 << 25))
    )
    resources = (await node.status(made.container_id)).resources.linux
    assert (resources.cpu_shares, resources.memory_limit_in_bytes) == (100, 1 << 25)
    assert "update {'memory': {'limit': 33554432}}" in node.world.calls
    await node.restart()
    assert (await node.status(made.container_id)).resources.linux.memory_limit_in_bytes == 1 << 25


async def test_statistics(node: Any) -> None:
    container = await node.started(await node.run())
    stats = (await node.service.container_stats(v1.ContainerStatsRequest(container_id=container))).stats
    assert (stats.cpu.usage_core_nano_seconds.value, stats.memory.working_set_bytes.value) == (5, 6)
    listed = (await node.service.list_container_stats(v1.ListContainerStatsRequest())).stats
    assert [each.attributes.id for each in listed] == [container]


async def test_the_log_is_reopened_of_running_containers_only(node: Any) -> None:
    container = await node.started(await node.run())
    await node.service.reopen_container_log(v1.ReopenContainerLogRequest(container_id=container))
    assert any(call.startswith("reopen_log") for call in node.world.calls)


async def test_unknown(node: Any) -> None:
    with pytest.raises(NotFound):
        await node.status("0" * 64)
