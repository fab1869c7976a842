"""Who ends when, as the machine goes down."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.kubelet.conftest import Bench
from tests.unit.kubelet.doubles import UID, pod

from polong.kit.errors import Invalid
from polong.kit.tasks import Tasks
from polong.kubelet import shutdown
from polong.kubelet.config import KubeletConfig
from polong.kubelet.configuration import API_VERSION, KIND, configured
from polong.objects import pod as pods

Json = dict[str, Any]


def named(name: str, priority: int | None = None, grace: int = 30) -> Json:
    return pod(name=name, terminationGracePeriodSeconds=grace, **({} if priority is None else {"priority": priority}))


def told(periods: Any, *running: Json) -> list[tuple[list[str], int | None]]:
    return [([pods.name(each) for each in group.pods], group.seconds) for group in shutdown.groups(periods, running)]


def test_lowest_first_and_no_group_without_pods() -> None:
    periods = ((0, 20), (1000, 15), (2_000_000_000, 10))
    running = [named("critical", 2_000_001_000), named("plain"), named("below", -5)]
    assert told(periods, *running) == [(["plain", "below"], 20), (["critical"], 10)]
    assert told((), *running) == [(["critical", "plain", "below"], None)]
    assert told(periods) == told(()) == []


def test_a_group_bounds_the_graces_of_its_pods() -> None:
    group = shutdown.Group((named("a", grace=30), named("b", grace=5)), 20)
    assert [shutdown.verdict(each, group).grace for each in group.pods] == [20, 5]
    assert shutdown.longest(group) == 20
    assert shutdown.longest(shutdown.Group(group.pods, None)) == 30


def settings(config: KubeletConfig, **fields: Any) -> Any:
    return configured(config, {"apiVersion": API_VERSION, "kind": KIND, **fields}).shutdown


async def test_settings(bench: Bench) -> None:
    config = bench.config
    assert settings(config) == settings(config, shutdownGracePeriod="0s") == ()
    both = settings(config, shutdownGracePeriod="30s", shutdownGracePeriodCriticalPods="10s")
    assert both == ((0, 20), (2_000_000_000, 10))
    listed = [{"priority": 10, "shutdownGracePeriodSeconds": 5}, {"priority": 0, "shutdownGracePeriodSeconds": 7}]
    assert settings(config, shutdownGracePeriodByPodPriority=listed) == ((0, 7), (10, 5))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shutdownGracePeriod": "5s", "shutdownGracePeriodCriticalPods": "6s"}, "must not be longer than shutdownGracePeriod"),
        ({"shutdownGracePeriod": "5s", "shutdownGracePeriodByPodPriority": [{}]}, "cannot be set together with"),
        ({"shutdownGracePeriodByPodPriority": {"a": 1}}, "must be a list"),
        ({"shutdownGracePeriodByPodPriority": [{"priority": 1}]}, "must have priority and shutdownGracePeriodSeconds"),
        ({"shutdownGracePeriodByPodPriority": [{"priority": 1, "shutdownGracePeriodSeconds": -1}]}, "must be an integer between 0"),
        ({"shutdownGracePeriodByPodPriority": [{"priority": 1, "shutdownGracePeriodSeconds": 1}] * 2}, "1 is already there"),
    ],
)
async def test_settings_that_mean_nothing(bench: Bench, fields: Json, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        settings(bench.config, **fields)


async def test_what_does_not_end_keeps_nobody_waiting_for_ever(bench: Bench) -> None:
    bench.api.create(pod())
    await bench.until(bench.runtime.live)
    bench.runtime.stubborn.add("app")
    tasks = Tasks("test")
    ending = tasks.start(bench.kubelet.shutdown(), "shutdown")
    await bench.until(lambda: any(call[0] == "stop_container" for call in bench.runtime.calls))
    bench.api.create(pod(uid=UID[:-1] + "2", name="late"))
    await bench.until(lambda: bench.api.status(UID[:-1] + "2").get("reason") == "NodeShutdown")
    for _ in range(40):
        await bench.clock.advance(1)
    await ending
    status = bench.api.status(UID)
    assert (status["phase"], status["reason"]) == ("Failed", "Terminated")
    assert next(each for each in status["conditions"] if each["type"] == "DisruptionTarget")["reason"] == "TerminationByKubelet"
    assert UID in bench.api.objects
