from __future__ import annotations

from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import NotFound


async def test_nothing_is_left(node: Any) -> None:
    sandbox = await node.run()
    await node.started(sandbox, "one")
    await node.create(sandbox, "two")
    request = v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox)
    await node.service.remove_pod_sandbox(request)
    assert node.census() == []
    assert [each for each in node.world.cgroups if each.startswith("/polong")] == []
    await node.service.remove_pod_sandbox(request)
    with pytest.raises(NotFound):
        await node.sandbox_status(sandbox)
    await node.run()
