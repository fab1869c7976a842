"""Rates between readings: none that is made up, no second reading where the first is recent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.kubelet.doubles import UID, FakeClock, pod, settle

from polong.criapi.wire import v1
from polong.kubelet.containers import CONTAINER_NAME, POD_UID
from polong.kubelet.resourcemetrics import Reading, ResourceMetrics, rate


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (Reading(1.0, {"a": 100}, {}), Reading(3.0, {"a": 500}, {}), 200),
        (Reading(1.0, {}, {}), Reading(3.0, {"a": 500}, {}), None),
        (Reading(1.0, {"a": 100}, {}), Reading(3.0, {}, {}), None),
        (Reading(1.0, {"a": 500}, {}), Reading(3.0, {"a": 100}, {}), None),
        (Reading(1.0, {"a": 100}, {}), Reading(1.0, {"a": 100}, {}), None),
    ],
)
def test_rate(before: Reading, now: Reading, expected: int | None) -> None:
    assert rate(before, now, "a") == expected


class Runtime:
    """Each container uses half a core."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.names = {"c1": "app"}
        self.asked = 0

    async def list_container_stats(self, request: v1.ListContainerStatsRequest) -> v1.ListContainerStatsResponse:
        self.asked += 1
        answer = v1.ListContainerStatsResponse()
        for key, name in self.names.items():
            stats = answer.stats.add()
            stats.attributes.id = key
            stats.attributes.labels.update({POD_UID: UID, CONTAINER_NAME: name})
            stats.cpu.usage_core_nano_seconds.value = int(self.clock.monotonic() * 500_000_000)
            stats.memory.working_set_bytes.value = 3 << 20
        return answer


async def _ask(metrics: ResourceMetrics, clock: FakeClock) -> list[dict[str, Any]]:
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(metrics.of_pods([pod()]))
        await settle()
        for _ in range(3):
            if not asked.done():
                await clock.advance(1)
    return list(await asked)


async def test_the_first_question_takes_two_readings_the_next_one(clock: FakeClock) -> None:
    runtime = Runtime(clock)
    metrics = ResourceMetrics(runtime, clock)  # type: ignore[arg-type]
    (found,) = await _ask(metrics, clock)
    assert found["containers"] == [{"name": "app", "usage": {"cpu": "500000000n", "memory": "3072Ki"}}]
    assert (found["window"], runtime.asked) == ("1s", 2)
    await clock.advance(10)
    (found,) = await _ask(metrics, clock)
    assert (found["window"], runtime.asked) == ("10s", 3)


async def test_a_container_that_has_just_begun_is_told_too(clock: FakeClock) -> None:
    runtime = Runtime(clock)
    metrics = ResourceMetrics(runtime, clock)  # type: ignore[arg-type]
    await _ask(metrics, clock)
    runtime.names["c2"] = "late"
    await clock.advance(10)
    (found,) = await _ask(metrics, clock)
    assert [each["name"] for each in found["containers"]] == ["app", "late"]


async def test_what_does_not_run_is_left_out(clock: FakeClock) -> None:
    runtime = Runtime(clock)
    runtime.names.clear()
    assert await _ask(ResourceMetrics(runtime, clock), clock) == []  # type: ignore[arg-type]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
