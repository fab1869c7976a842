"""Probes through a Pod's life, over a runtime in memory whose exec answers as a test says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.kubelet.conftest import Bench
from tests.unit.kubelet.doubles import UID, container, pod

from polong.criapi.wire import v1
from polong.kit.errors import DeadlineExceeded, FailedPrecondition
from polong.kubelet.probes.tally import Tally

Json = dict[str, Any]


def probe(command: str, **fields: Any) -> Json:
    return {"exec": {"command": [command]}, "periodSeconds": 10, "timeoutSeconds": 2, "failureThreshold": 2, **fields}


class Answers:
    """Exit codes by command; counts the questions."""

    def __init__(self, bench: Bench, **codes: int) -> None:
        self.codes = codes
        self.asked: list[str] = []
        bench.runtime.executing = self

    async def __call__(self, request: v1.ExecSyncRequest) -> tuple[int, bytes]:
        self.asked.append(request.cmd[0])
        return self.codes.get(request.cmd[0], 0), b"said so"


def entry(bench: Bench) -> Json:
    statuses = bench.api.status(UID).get("containerStatuses") or [{}]
    found: Json = statuses[0]
    return found


def is_ready(bench: Bench) -> bool:
    return bool(entry(bench).get("ready"))


async def test_readiness_follows_the_probe(bench: Bench) -> None:
    answers = Answers(bench, ready=1)
    bench.api.create(pod(container(readinessProbe=probe("ready", initialDelaySeconds=5, failureThreshold=3))))
    await bench.until(lambda: "running" in entry(bench).get("state", {}))
    await bench.clock.advance(4)
    assert answers.asked == []
    await bench.clock.advance(2)
    await bench.quiet()
    assert answers.asked == ["ready"]
    assert not is_ready(bench)
    assert entry(bench)["started"]
    answers.codes["ready"] = 0
    await bench.clock.advance(10)
    await bench.until(lambda: is_ready(bench))
    answers.codes["ready"] = 1
    await bench.clock.advance(20)
    await bench.quiet()
    assert is_ready(bench), "two failures of three change nothing"
    await bench.clock.advance(10)
    await bench.until(lambda: not is_ready(bench))
    assert entry(bench)["restartCount"] == 0
    assert set(bench.api.told("Unhealthy")) == {"Readiness probe failed: said so"}


async def test_liveness_restarts_after_the_threshold(bench: Bench) -> None:
    answers = Answers(bench, alive=0)
    bench.api.create(pod(container(livenessProbe=probe("alive", terminationGracePeriodSeconds=7))))
    await bench.until(lambda: is_ready(bench))
    answers.codes["alive"] = 3
    await bench.clock.advance(11)
    await bench.quiet()
    assert entry(bench)["restartCount"] == 0
    await bench.clock.advance(10)
    await bench.until(lambda: entry(bench)["restartCount"] == 1)
    assert ("stop_container", "app", 7) in bench.runtime.calls
    await bench.quiet()
    assert bench.api.told("Killing") == ["Container app failed liveness probe, will be restarted"]
    assert bench.api.told("Unhealthy")[0] == "Liveness probe failed: said so"


async def test_startup_gates_the_others_and_restarts(bench: Bench) -> None:
    answers = Answers(bench, up=1)
    spec = container(startupProbe=probe("up", periodSeconds=1), livenessProbe=probe("alive"), readinessProbe=probe("ready"))
    bench.api.create(pod(spec))
    await bench.until(lambda: "running" in entry(bench).get("state", {}))
    await bench.quiet()
    assert set(answers.asked) == {"up"}
    assert not entry(bench)["started"]
    await bench.clock.advance(1.5)
    await bench.until(lambda: entry(bench)["restartCount"] == 1)
    assert ("stop_container", "app", 30) in bench.runtime.calls
    answers.codes["up"] = 0
    await bench.clock.advance(1.5)
    await bench.until(lambda: is_ready(bench))
    assert entry(bench)["started"]
    assert {"alive", "ready"} <= set(answers.asked)
    ups = answers.asked.count("up")
    await bench.clock.advance(30)
    await bench.quiet()
    assert answers.asked.count("up") == ups, "a startup probe that has succeeded is asked no more"


async def test_a_question_that_cannot_be_asked_counts_as_nothing(bench: Bench) -> None:
    async def broken(request: v1.ExecSyncRequest) -> tuple[int, bytes]:
        raise FailedPrecondition("no such file")

    bench.runtime.executing = broken
    bench.api.create(pod(container(livenessProbe=probe("alive", failureThreshold=1))))
    await bench.until(lambda: is_ready(bench))
    await bench.clock.advance(60)
    await bench.quiet()
    assert entry(bench)["restartCount"] == 0
    assert bench.api.told("Unhealthy")[0] == "Liveness probe errored and resulted in unknown state: no such file"


async def test_a_command_over_its_time_is_a_failure(bench: Bench) -> None:
    async def slow(request: v1.ExecSyncRequest) -> tuple[int, bytes]:
        raise DeadlineExceeded("killed")

    bench.runtime.executing = slow
    bench.api.create(pod(container(livenessProbe=probe("alive", failureThreshold=1))))
    await bench.until(lambda: entry(bench).get("restartCount") == 1)
    await bench.quiet()
    assert bench.api.told("Unhealthy")[0] == 'Liveness probe failed: command timed out: "alive" timed out after 2s'


async def test_a_new_daemon_keeps_what_was_known(bench: Bench) -> None:
    answers = Answers(bench)
    bench.api.create(pod(container(startupProbe=probe("up"), readinessProbe=probe("ready", failureThreshold=1))))
    await bench.until(lambda: is_ready(bench))
    await bench.clock.advance(1)
    answers.codes |= {"up": 1, "ready": 1}
    answers.asked.clear()
    told = len(bench.api.history)
    await bench.again()
    await bench.quiet()
    assert is_ready(bench)
    assert all(each["containerStatuses"][0]["ready"] for each in bench.api.history[told:])
    await bench.clock.advance(10)
    await bench.until(lambda: not is_ready(bench))
    assert "up" not in answers.asked, "what has started has started"
    assert entry(bench)["restartCount"] == 0


async def test_while_a_pod_ends_only_readiness_is_asked(bench: Bench) -> None:
    answers = Answers(bench)
    bench.runtime.stubborn.add("app")
    bench.api.create(pod(container(livenessProbe=probe("alive", failureThreshold=1), readinessProbe=probe("ready", failureThreshold=1))))
    await bench.until(lambda: is_ready(bench))
    bench.api.delete(UID, grace=25)
    await bench.quiet()
    answers.asked.clear()
    answers.codes |= {"alive": 1, "ready": 1}
    await bench.clock.advance(11)
    await bench.until(lambda: not is_ready(bench))
    assert set(answers.asked) == {"ready"}
    await bench.clock.advance(20)
    await bench.until(lambda: UID not in bench.api.objects)
    answers.asked.clear()
    await bench.clock.advance(60)
    assert answers.asked == []


async def test_nothing_is_asked_after_the_end(bench: Bench) -> None:
    answers = Answers(bench)
    bench.api.create(pod(container(readinessProbe=probe("ready")), restartPolicy="Never"))
    await bench.until(lambda: is_ready(bench))
    bench.runtime.exit("app")
    await bench.until(lambda: bench.api.status(UID)["phase"] == "Succeeded")
    answers.asked.clear()
    await bench.clock.advance(60)
    assert answers.asked == []
    assert not bench.kubelet._prober._pods


async def test_a_slow_probe_does_not_pile_up(bench: Bench) -> None:
    now = most = 0

    async def slow(request: v1.ExecSyncRequest) -> tuple[int, bytes]:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await bench.clock.sleep(25)
        now -= 1
        return 0, b""

    bench.runtime.executing = slow
    bench.api.create(pod(container(readinessProbe=probe("ready"))))
    await bench.until(lambda: "running" in entry(bench).get("state", {}))
    await bench.clock.advance(100)
    await asyncio.sleep(0)
    assert most == 1


@pytest.mark.parametrize(
    ("results", "expected"),
    [("+", [True]), ("--", [None, False]), ("-+-", [None, True, None]), ("--+", [None, False, True]), ("---", [None, False, False])],
)
def test_thresholds(results: str, expected: list[bool | None]) -> None:
    tally = Tally(1, 2)
    assert [tally.count(each == "+") for each in results] == expected


def test_a_success_threshold() -> None:
    tally = Tally(2, 1)
    assert [tally.count(each) for each in (True, False, True, True)] == [None, False, None, True]
