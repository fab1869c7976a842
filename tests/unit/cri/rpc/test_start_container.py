from __future__ import annotations

from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition, NotFound


async def test_a_started_container_runs(node: Any) -> None:
    container = await node.started(await node.run())
    status = await node.status(container)
    assert status.state == v1.CONTAINER_RUNNING
    assert status.started_at >= status.created_at > 0
    with pytest.raises(FailedPrecondition, match="not in CONTAINER_CREATED"):
        await node.start(container)


async def test_unknown(node: Any) -> None:
    with pytest.raises(NotFound, match="no such container"):
        await node.start("0" * 64)


async def test_a_start_that_fails_is_an_exit_that_says_why(node: Any) -> None:
    container = await node.create(await node.run())
    node.world.fail["start"] = FailedPrecondition("crun: executable file `nosuch` not found in $PATH")
    with pytest.raises(FailedPrecondition, match="nosuch") as error:
        await node.start(container)
    assert error.value.reason == "RunContainerError"
    status = await node.status(container)
    assert status.state == v1.CONTAINER_EXITED
    assert (status.exit_code, status.reason) == (128, "StartError")
    assert "nosuch" in status.message


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_the_runtime_refused_to_make_is_told_by_the_start(node: Any, restarted: bool) -> None:
    sandbox = await node.run()
    before = node.census()
    node.world.fail["supervise"] = FailedPrecondition("crun: executable file `nosuch` not found in $PATH", reason="RunContainerError")
    container = await node.create(sandbox)
    node.world.fail.clear()
    if restarted:
        await node.restart()
    assert (await node.status(container)).state == v1.CONTAINER_CREATED
    with pytest.raises(FailedPrecondition, match="nosuch") as error:
        await node.start(container)
    assert error.value.reason == "RunContainerError"
    status = await node.status(container)
    assert (status.state, status.exit_code, status.reason) == (v1.CONTAINER_EXITED, 128, "StartError")
    assert (status.started_at, status.finished_at > 0) == (0, True)
    await node.service.remove_container(v1.RemoveContainerRequest(container_id=container))
    assert node.census() == before


async def test_what_the_runtime_refused_to_make_is_stopped_and_removed_as_any_other(node: Any) -> None:
    sandbox = await node.run()
    before = node.census()
    node.world.fail["supervise"] = FailedPrecondition("crun: no", reason="RunContainerError")
    stopped, removed = await node.create(sandbox, "a"), await node.create(sandbox, "b")
    await node.service.stop_container(v1.StopContainerRequest(container_id=stopped, timeout=5))
    assert (await node.status(stopped)).state == v1.CONTAINER_EXITED
    for each in (stopped, removed):
        await node.service.remove_container(v1.RemoveContainerRequest(container_id=each))
    assert node.census() == before


async def test_not_in_a_sandbox_that_died(node: Any) -> None:
    sandbox = await node.run()
    container = await node.create(sandbox)
    node.engine.table.sandboxes[sandbox].pause.gone.set()
    await node.engine.table.sandboxes[sandbox].over.wait()
    with pytest.raises(FailedPrecondition, match="not ready"):
        await node.start(container)
