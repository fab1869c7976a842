from __future__ import annotations

from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import NotFound, Unavailable


async def remove(node: Any, container: str) -> None:
    await node.service.remove_container(v1.RemoveContainerRequest(container_id=container))


async def test_a_running_container_is_removed_by_force(node: Any) -> None:
    sandbox = await node.run()
    before = node.census()
    container = await node.started(sandbox)
    await remove(node, container)
    assert node.census() == before
    await remove(node, container)
    with pytest.raises(NotFound):
        await node.status(container)


async def test_what_cannot_be_removed_stays_and_a_later_try_finishes(node: Any) -> None:
    sandbox = await node.run()
    before = node.census()
    container = await node.started(sandbox)
    node.world.fail["release_rootfs"] = Unavailable("device or resource busy")
    with pytest.raises(Unavailable):
        await remove(node, container)
    assert (await node.status(container)).state == v1.CONTAINER_EXITED
    node.world.fail.clear()
    await remove(node, container)
    assert node.census() == before


async def test_events_of_a_life(node: Any) -> None:
    sandbox = await node.run()
    events = node.service.get_container_events(v1.GetEventsRequest())
    container = await node.started(sandbox)
    await remove(node, container)
    seen = [(await anext(events)).container_event_type for _ in range(4)]
    assert seen == [v1.CONTAINER_CREATED_EVENT, v1.CONTAINER_STARTED_EVENT, v1.CONTAINER_STOPPED_EVENT, v1.CONTAINER_DELETED_EVENT]
    await events.aclose()
