from __future__ import annotations

import asyncio
from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition
from polong.kit.stdio import Pipe, Stdio


async def test_until_the_main_process_ends(node: Any) -> None:
    container = await node.started(await node.run())
    stdout = Pipe()
    call = asyncio.get_running_loop().create_task(
        node.service.attach(v1.AttachRequest(container_id=container, stdout=True), Stdio(stdout=stdout))
    )
    assert await stdout.read() == b"attached\n"
    assert not call.done()
    node.world.end(container, 0)
    await call
    assert await stdout.read() == b""


async def test_not_to_what_does_not_run(node: Any) -> None:
    container = await node.create(await node.run())
    with pytest.raises(FailedPrecondition, match="not running"):
        await node.service.attach(v1.AttachRequest(container_id=container, stdout=True), Stdio())
