from __future__ import annotations

from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import Unavailable


async def stop(node: Any, sandbox: str) -> None:
    await node.service.stop_pod_sandbox(v1.StopPodSandboxRequest(pod_sandbox_id=sandbox))


async def test_containers_end_by_force_and_the_network_goes(node: Any) -> None:
    sandbox = await node.run()
    one, two = await node.started(sandbox, "one"), await node.started(sandbox, "two")
    await stop(node, sandbox)
    for container in (one, two):
        status = await node.status(container)
        assert (status.state, status.exit_code) == (v1.CONTAINER_EXITED, 137)
    assert (await node.sandbox_status(sandbox)).state == v1.SANDBOX_NOTREADY
    assert node.world.attached == node.world.netns == node.world.shms == set()
    await stop(node, sandbox)
    await stop(node, "f" * 64)


async def test_a_network_that_will_not_let_go_is_an_error_and_is_tried_again(node: Any) -> None:
    sandbox = await node.run()
    node.world.fail["detach"] = Unavailable("plugin hangs")
    with pytest.raises(Unavailable):
        await stop(node, sandbox)
    assert (await node.sandbox_status(sandbox)).state == v1.SANDBOX_NOTREADY
    node.world.fail.clear()
    await stop(node, sandbox)
    assert node.world.attached == set()


async def test_a_sandbox_that_died_is_stopped_like_any_other(node: Any) -> None:
    sandbox = await node.run()
    node.engine.table.sandboxes[sandbox].pause.gone.set()
    await stop(node, sandbox)
    assert node.world.attached == set()
