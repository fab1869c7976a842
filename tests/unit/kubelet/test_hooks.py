"""Lifecycle hooks through a Pod's life, over a runtime in memory."""

from __future__ import annotations

from typing import Any

from tests.unit.kubelet.conftest import Bench
from tests.unit.kubelet.doubles import UID, container, pod

from polong.criapi.wire import v1

Json = dict[str, Any]


def hooks(**fields: Any) -> Json:
    return {"lifecycle": fields}


def run(*command: str) -> Json:
    return {"exec": {"command": list(command)}}


def entry(bench: Bench, place: int = 0) -> Json:
    statuses = bench.api.status(UID).get("containerStatuses")
    found: Json = statuses[place] if statuses else {}
    return found


def kinds(bench: Bench, *wanted: str) -> list[tuple[Any, ...]]:
    return [each[:3] for each in bench.runtime.calls if each[0] in wanted]


async def test_the_next_container_waits_for_post_start(bench: Bench) -> None:
    async def slow(request: v1.ExecSyncRequest) -> tuple[int, bytes]:
        await bench.clock.sleep(5)
        return 0, b""

    bench.runtime.executing = slow
    bench.api.create(pod(container("a", **hooks(postStart=run("prepare", "$(X)"))), container("b")))
    await bench.until(lambda: bench.runtime.live("a"))
    await bench.quiet()
    assert not bench.runtime.live("b")
    await bench.clock.advance(6)
    await bench.until(lambda: bench.runtime.live("b"))
    assert kinds(bench, "exec_sync") == [("exec_sync", "a", ("prepare", "$(X)"))]


async def test_a_failing_post_start_kills_and_the_policy_decides(bench: Bench) -> None:
    async def fail(request: v1.ExecSyncRequest) -> tuple[int, bytes]:
        return 3, b"secret"

    bench.runtime.executing = fail
    bench.api.create(pod(container(**hooks(postStart=run("x")))))
    await bench.until(lambda: entry(bench).get("restartCount") == 1)
    await bench.until(lambda: entry(bench)["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff")
    await bench.quiet()
    assert set(bench.api.told("FailedPostStartHook")) == {"PostStartHook failed"}
    assert "FailedPostStartHook" in bench.api.told("Killing")
    assert not any("secret" in str(each) for each in bench.api.events)


async def test_post_start_does_not_keep_a_pod_from_ending(bench: Bench) -> None:
    async def hang(request: v1.ExecSyncRequest) -> tuple[int, bytes]:
        await bench.clock.sleep(1e6)
        return 0, b""

    bench.runtime.executing = hang
    bench.api.create(pod(container(**hooks(postStart=run("x"))), container("b")))
    await bench.until(lambda: kinds(bench, "exec_sync"))
    bench.api.delete(UID)
    await bench.until(lambda: UID not in bench.api.objects)
    assert not bench.api.told("FailedPostStartHook")


async def test_post_start_ends_with_its_container(bench: Bench) -> None:
    bench.api.create(pod(container(**hooks(postStart={"sleep": {"seconds": 1000}})), restartPolicy="Never"))
    await bench.until(lambda: bench.runtime.live("app"))
    await bench.quiet()
    bench.runtime.exit("app")
    await bench.clock.advance(1)
    await bench.until(lambda: bench.api.status(UID)["phase"] == "Succeeded")


async def test_pre_stop_takes_its_part_of_the_grace(bench: Bench) -> None:
    bench.api.create(pod(container(**hooks(preStop={"sleep": {"seconds": 8}}))))
    await bench.until(lambda: bench.runtime.live("app"))
    await bench.quiet()
    bench.api.delete(UID, grace=30)
    await bench.quiet()
    assert not kinds(bench, "stop_container")
    await bench.clock.advance(8.5)
    await bench.until(lambda: UID not in bench.api.objects)
    assert kinds(bench, "stop_container") == [("stop_container", "app", 22)]


async def test_pre_stop_is_cut_at_the_end_of_the_grace_and_two_seconds_are_left(bench: Bench) -> None:
    bench.runtime.stubborn.add("app")
    bench.api.create(pod(container(**hooks(preStop={"sleep": {"seconds": 100}}))))
    await bench.until(lambda: bench.runtime.live("app"))
    await bench.quiet()
    bench.api.delete(UID, grace=10)
    await bench.quiet()
    await bench.clock.advance(10.5)
    await bench.until(lambda: kinds(bench, "stop_container"))
    assert kinds(bench, "stop_container") == [("stop_container", "app", 2)]
    await bench.clock.advance(2)
    await bench.until(lambda: UID not in bench.api.objects)


async def test_pre_stop_runs_once_when_the_grace_gets_shorter(bench: Bench) -> None:
    async def slow(request: v1.ExecSyncRequest) -> tuple[int, bytes]:
        await bench.clock.sleep(20)
        return 0, b""

    bench.runtime.executing = slow
    bench.api.create(pod(container(**hooks(preStop=run("bye")))))
    await bench.until(lambda: bench.runtime.live("app"))
    await bench.quiet()
    bench.api.delete(UID, grace=100)
    await bench.quiet()
    await bench.clock.advance(5)
    bench.api.delete(UID, grace=50)
    await bench.quiet()
    assert len(kinds(bench, "exec_sync")) == 1
    await bench.clock.advance(15.5)
    await bench.until(lambda: UID not in bench.api.objects)
    assert len(kinds(bench, "exec_sync")) == 1
    ((_, _, grace),) = kinds(bench, "stop_container")
    assert 30 <= grace <= 50


async def test_pre_stop_is_not_awaited_once_the_container_has_ended(bench: Bench) -> None:
    bench.api.create(pod(container(**hooks(preStop={"sleep": {"seconds": 100}}))))
    await bench.until(lambda: bench.runtime.live("app"))
    await bench.quiet()
    bench.api.delete(UID, grace=200)
    await bench.quiet()
    bench.runtime.exit("app")
    await bench.clock.advance(0.5)
    await bench.until(lambda: UID not in bench.api.objects)


async def test_no_pre_stop_without_grace(bench: Bench) -> None:
    bench.api.create(pod(container(**hooks(preStop=run("bye"))), terminationGracePeriodSeconds=0))
    await bench.until(lambda: bench.runtime.live("app"))
    await bench.quiet()
    bench.api.delete(UID, grace=0)
    await bench.until(lambda: UID not in bench.api.objects)
    assert not kinds(bench, "exec_sync")


async def test_a_failing_pre_stop_is_told_and_the_container_still_stopped(bench: Bench) -> None:
    async def fail(request: v1.ExecSyncRequest) -> tuple[int, bytes]:
        return 1, b""

    bench.runtime.executing = fail
    bench.api.create(pod(container("a", **hooks(preStop=run("bye"))), container("b", **hooks(preStop={"tcpSocket": {"port": 1}}))))
    await bench.until(lambda: bench.runtime.live("b"))
    await bench.quiet()
    bench.api.delete(UID)
    await bench.until(lambda: UID not in bench.api.objects)
    await bench.quiet()
    assert bench.api.told("FailedPreStopHook") == ["PreStopHook failed", "PreStopHook failed"]


async def test_pre_stop_before_a_restart_by_liveness(bench: Bench) -> None:
    async def ill(request: v1.ExecSyncRequest) -> tuple[int, bytes]:
        return int(request.cmd[0] == "alive"), b""

    bench.runtime.executing = ill
    probe = {"exec": {"command": ["alive"]}, "failureThreshold": 1, "periodSeconds": 1}
    bench.api.create(pod(container(livenessProbe=probe, **hooks(preStop=run("bye")))))
    await bench.until(lambda: entry(bench).get("restartCount") == 1)
    story = [each[2] for each in kinds(bench, "exec_sync")][:2]
    assert story == [("alive",), ("bye",)]
