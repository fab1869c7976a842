"""When something is short: who goes, in which order, with which words; and what the node says meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kubelet.conftest import Bench
from tests.unit.kubelet.doubles import UID, container, pod

from polong.criapi.wire import v1
from polong.kubelet import pressure
from polong.kubelet.containers import CONTAINER_NAME, POD_UID
from polong.kubelet.decisions import Verdict
from polong.kubelet.events import Recorder
from polong.kubelet.eviction import Eviction
from polong.kubelet.pressure import DISK, INODES, MEMORY, Level, Use

MI = 1 << 20


@pytest.mark.parametrize(
    ("text", "capacity", "expected"), [("100Mi", 0, 100 * MI), ("10%", 1000, 100), ("0%", 1000, 0), ("2.5%", 1000, 25)]
)
def test_thresholds(text: str, capacity: int, expected: int) -> None:
    assert pressure.threshold(text, capacity) == expected


def test_below_is_met_at_is_not() -> None:
    levels = {DISK: Level(1000, 99), MEMORY: Level(1000 * MI, 100 * MI), INODES: Level(1000, 50)}
    assert pressure.met(levels, pressure.DEFAULT_HARD) == [DISK]
    assert pressure.met({MEMORY: Level(1000 * MI, 100 * MI - 1)}, pressure.DEFAULT_HARD) == [MEMORY]


def _use(name: str, used: int, requested: int, priority: int = 0) -> Use:
    made = pod(uid=name)
    made["spec"]["priority"] = priority
    return Use(made, used, requested)


def test_who_goes_first() -> None:
    within, above, far, low = _use("a", 50, 100), _use("b", 60, 10), _use("c", 90, 10), _use("d", 30, 20, priority=-1)
    critical = _use("e", 999, 0, priority=2_000_000_000)
    assert pressure.victim([within, above, far, low, critical]) is low
    assert pressure.victim([within, above, far, critical]) is far
    assert pressure.victim([within, critical]) is within
    assert pressure.victim([critical]) is None


@given(st.lists(st.builds(_use, st.uuids().map(str), st.integers(1, 99), st.integers(0, 99), st.integers(-2, 2)), min_size=1))
def test_nobody_within_its_request_goes_before_one_above_it(uses: list[Use]) -> None:
    chosen = pressure.victim(uses)
    assert chosen is not None
    assert chosen.used > chosen.requested or all(each.used <= each.requested for each in uses)


def test_the_words_are_kubernetes_own() -> None:
    use = Use(pod(), 300 * MI, 100 * MI, (("app", 300 * MI, 100 * MI), ("small", 1, 2)))
    assert pressure.message(MEMORY, Level(1000 * MI, 50 * MI), "100Mi", use) == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 51200Ki. "
        "Container app was using 307200Ki, request is 100Mi, has larger consumption of memory. "
    )


def test_new_pods_under_pressure() -> None:
    best_effort = pod()
    burstable = pod(container(resources={"requests": {"memory": "1Mi"}}))
    assert pressure.admits(best_effort, ()) == ""
    assert pressure.admits(best_effort, ["MemoryPressure"]) == "The node had condition: [MemoryPressure]. "
    assert pressure.admits(burstable, ["MemoryPressure"]) == ""
    assert pressure.admits(burstable, ["DiskPressure"]) == "The node had condition: [DiskPressure]. "


class Situation:
    def __init__(self, bench: Bench, hard: dict[str, str]) -> None:
        self.levels = {MEMORY: Level(1000 * MI, 500 * MI), DISK: Level(1000, 500)}
        self.reclaimed = 0
        self.failed: list[tuple[str, Verdict]] = []
        self.used = {(UID, "app"): 300 * MI, ("other", "app"): 10 * MI}
        self.bench = bench
        recorder = Recorder(bench.api, "node", bench.clock)
        config = replace(bench.config, eviction_hard=hard)
        self.eviction = Eviction(config, self, bench.clock, recorder, lambda: self.levels, self.reclaim)  # type: ignore[arg-type]

    async def list_container_stats(self, request: v1.ListContainerStatsRequest) -> v1.ListContainerStatsResponse:
        answer = v1.ListContainerStatsResponse()
        for (uid, name), size in self.used.items():
            stats = answer.stats.add()
            stats.attributes.labels.update({POD_UID: uid, CONTAINER_NAME: name})
            stats.memory.working_set_bytes.value = stats.writable_layer.used_bytes.value = size
        return answer

    async def reclaim(self) -> None:
        self.reclaimed += 1
        self.levels[DISK] = Level(1000, 400)

    async def look(self) -> list[tuple[str, Verdict]]:
        await self.eviction.look(lambda: [pod(), pod(uid="other")], lambda uid, verdict: self.failed.append((uid, verdict)))
        return self.failed


async def test_with_enough_of_everything_nothing_is_measured(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    situation = Situation(bench, dict(pressure.DEFAULT_HARD))
    monkeypatch.setattr(situation, "list_container_stats", None)
    assert await situation.look() == []
    assert situation.eviction.conditions() == frozenset()


async def test_short_of_memory_the_greediest_goes_and_the_node_says_so_for_a_while(bench: Bench) -> None:
    situation = Situation(bench, {MEMORY: "100Mi"})
    situation.levels[MEMORY] = Level(1000 * MI, 50 * MI)
    ((uid, verdict),) = await situation.look()
    assert (uid, verdict.reason, verdict.grace) == (UID, "Evicted", 0)
    assert "Container app was using 307200Ki" in verdict.message
    assert situation.eviction.refusal(pod()) == Verdict("Evicted", "The node had condition: [MemoryPressure]. ", 0)
    situation.levels[MEMORY] = Level(1000 * MI, 500 * MI)
    await bench.clock.advance(299)
    assert situation.eviction.conditions() == {"MemoryPressure"}
    await bench.clock.advance(2)
    assert situation.eviction.conditions() == frozenset()
    assert situation.eviction.refusal(pod()) is None


async def test_short_of_disk_images_go_before_pods(bench: Bench) -> None:
    situation = Situation(bench, {DISK: "10%"})
    situation.levels[DISK] = Level(1000, 50)
    assert await situation.look() == []
    assert situation.reclaimed == 1


async def test_conditions_of_the_node(bench: Bench) -> None:
    def status() -> dict[str, Any]:
        return {each["type"]: (each["status"], each["reason"]) for each in bench.api.nodes["node"]["status"]["conditions"]}

    assert status()["MemoryPressure"] == ("False", "KubeletHasSufficientMemory")
    bench.kubelet._eviction._since["MemoryPressure"] = bench.clock.monotonic()
    await bench.kubelet._node.beat()
    assert status()["MemoryPressure"] == ("True", "KubeletHasInsufficientMemory")
    assert status()["Ready"][0] == "True"
