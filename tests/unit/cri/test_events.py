from __future__ import annotations

import pytest

from polong.cri.events import Events
from polong.criapi.wire import v1
from polong.kit.errors import Unavailable


def event(name: str) -> v1.ContainerEventResponse:
    return v1.ContainerEventResponse(container_id=name)


async def test_every_subscriber_sees_every_event_from_its_subscription_on() -> None:
    events = Events()
    events.publish(event("before"))
    one, two = events.subscribe(), events.subscribe()
    events.publish(event("a"))
    events.publish(event("b"))
    events.close()
    assert [each.container_id async for each in one] == ["a", "b"]
    assert [each.container_id async for each in two] == ["a", "b"]
    assert not events.wanted


async def test_who_is_too_slow_is_told_to_list_again() -> None:
    events = Events()
    slow = events.subscribe()
    for number in range(2_000):
        events.publish(event(str(number)))
    seen = []
    with pytest.raises(Unavailable, match="list again"):  # noqa: PT012
        async for each in slow:
            seen.append(each.container_id)  # noqa: PERF401 - it ends with an error, and what came before counts
    assert seen == [str(number) for number in range(len(seen))]
    assert len(seen) == 1_000


async def test_a_subscription_after_the_end_ends() -> None:
    events = Events()
    events.close()
    assert [each async for each in events.subscribe()] == []
