from __future__ import annotations

import asyncio
from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import DeadlineExceeded, FailedPrecondition, Invalid


async def test_output_and_code(node: Any) -> None:
    container = await node.started(await node.run())
    request = v1.ExecSyncRequest(container_id=container, cmd=["false"], timeout=5)
    async with asyncio.TaskGroup() as group:
        call = group.create_task(node.service.exec_sync(request))
        await node.until(lambda: node.world.execs)
        await node.world.execs[0].finish(3, b"out")
    assert (call.result().exit_code, call.result().stdout) == (3, b"out")
    assert node.world.execs[0].closed
    assert node.world.execs[0].document["args"] == ["false"]


async def test_a_late_command_is_killed(node: Any) -> None:
    container = await node.started(await node.run())
    with pytest.raises(DeadlineExceeded, match="timed out after 1s"):
        await node.service.exec_sync(v1.ExecSyncRequest(container_id=container, cmd=["sleep", "9"], timeout=1))
    assert node.world.execs[0].closed


async def test_output_is_bounded_but_read_to_the_end(node: Any) -> None:
    container = await node.started(await node.run())
    async with asyncio.TaskGroup() as group:
        call = group.create_task(node.service.exec_sync(v1.ExecSyncRequest(container_id=container, cmd=["yes"])))
        await node.until(lambda: node.world.execs)
        for _ in range(300):
            await node.world.execs[0].out.write(b"y" * 65536)
        await node.world.execs[0].finish(0)
    assert len(call.result().stdout) == 8 << 20


async def test_only_in_a_running_container_and_with_a_command(node: Any) -> None:
    container = await node.create(await node.run())
    with pytest.raises(FailedPrecondition, match="not running"):
        await node.service.exec_sync(v1.ExecSyncRequest(container_id=container, cmd=["true"]))
    await node.start(container)
    with pytest.raises(Invalid, match="needs a command"):
        await node.service.exec_sync(v1.ExecSyncRequest(container_id=container))
