"""Streams: the right container, Kubernetes' texts where there is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.kubelet.conftest import Bench
from tests.unit.kubelet.doubles import UID, container, pod

from polong.kit.errors import BadRequest, FailedPrecondition, NotFound
from polong.kit.stdio import Pipe, Stdio
from polong.kubelet.streams import processes
from polong.objects.podlogs import PodLogOptions

Json = dict[str, Any]


async def started(bench: Bench) -> Json:
    bench.api.create(pod())
    await bench.until(lambda: bench.api.status(UID).get("phase") == "Running")
    return bench.api.objects[UID]


async def test_exec_and_attach_go_to_the_running_instance(bench: Bench) -> None:
    own = await started(bench)
    bench.runtime.exit("app", 1)
    await bench.until(lambda: len(bench.runtime.live("app")) == 1 and bench.runtime.live("app")[0].metadata.attempt == 1)
    identity = bench.runtime.live("app")[0].id
    assert await bench.kubelet.streams.exec(own, "app", ["ls"], Stdio(stdout=Pipe(), tty=True)) == 7
    await bench.kubelet.streams.attach(own, "app", Stdio(stdin=Pipe()))
    await bench.kubelet.streams.port_forward(own, 80, Stdio())
    assert bench.runtime.calls[-3:] == [("exec", identity, ("ls",), True), ("attach", identity, True), ("port_forward", "s1", 80)]


async def test_what_does_not_run_cannot_be_entered(bench: Bench) -> None:
    own = await started(bench)
    with pytest.raises(NotFound, match=r'container not found \("nope"\)'):
        await bench.kubelet.streams.exec(own, "nope", ["ls"], Stdio())
    with pytest.raises(BadRequest):
        await bench.kubelet.streams.exec(own, "app", [], Stdio())


async def texts(bench: Bench, own: Json, **options: Any) -> bytes:
    return b"".join([each async for each in bench.kubelet.streams.logs(own, "app", PodLogOptions(**options))])


async def test_logs_of_this_and_the_previous_instance(bench: Bench) -> None:
    own = await started(bench)
    directory = bench.config.log_dir / f"default_web_{UID}" / "app"
    directory.mkdir(parents=True)
    (directory / "0.log").write_text("2026-01-02T03:04:05Z stdout F first\n")
    (directory / "1.log").write_text("2026-01-02T03:04:05Z stdout F second\n")
    assert await texts(bench, own) == b"first\n"
    with pytest.raises(BadRequest, match='previous terminated container "app" in pod "web" not found'):
        await texts(bench, own, previous=True)
    bench.runtime.exit("app", 1)
    await bench.until(lambda: bench.runtime.live("app"))
    assert await texts(bench, own) == b"second\n"
    assert await texts(bench, own, previous=True) == b"first\n"


async def test_logs_of_what_has_not_started(bench: Bench) -> None:
    bench.api.create(pod(container(image="none:1", imagePullPolicy="Never")))
    await bench.until(lambda: "ErrImageNeverPull" in json.dumps(bench.api.status(UID)))
    with pytest.raises(BadRequest, match='container "app" in pod "web" is waiting to start: ErrImageNeverPull'):
        await texts(bench, bench.api.objects[UID])


def test_verbose_information_becomes_a_group() -> None:
    info = json.dumps({"pid": 42, "runtimeSpec": {"linux": {"cgroupsPath": "/x/c1"}}})
    group = processes.group("app", "c1", info)
    assert (group.pid, group.cgroup, group.container, group.id) == (42, "/x/c1", "app", "c1")
    assert processes.group("", "s1", "").pid == 0


# --- restart of one container ------------------------------------------------------------------------------------------------------


async def test_one_container_is_restarted_and_its_sibling_is_not(bench: Bench) -> None:
    bench.api.create(pod(container("app"), container("peer")))
    await bench.until(lambda: len(bench.runtime.live()) == 2)
    peer = bench.runtime.live("peer")[0].id
    answer = await bench.kubelet.streams.restart(bench.api.objects[UID], "app", "admin")
    assert (answer["container"], answer["restartCount"]) == ("app", 0)
    await bench.until(lambda: [each.metadata.attempt for each in bench.runtime.live("app")] == [1])
    assert bench.runtime.live("peer")[0].id == peer


async def test_a_restart_on_request_is_no_crash(bench: Bench) -> None:
    """However often: no back-off, which the clock (it stands still) would never end."""
    own = await started(bench)
    for attempt in (1, 2, 3):
        await bench.kubelet.streams.restart(own, "")
        await bench.until(lambda n=attempt: [each.metadata.attempt for each in bench.runtime.live("app")] == [n])  # type: ignore[misc]


async def test_a_restart_ends_a_back_off(bench: Bench) -> None:
    own = await started(bench)
    bench.runtime.exit("app", 1)
    await bench.until(lambda: [each.metadata.attempt for each in bench.runtime.live("app")] == [1])
    bench.runtime.exit("app", 1)
    await bench.until(lambda: "CrashLoopBackOff" in json.dumps(bench.api.status(UID)))
    await bench.kubelet.streams.restart(own, "app")
    await bench.until(lambda: [each.metadata.attempt for each in bench.runtime.live("app")] == [2])


async def test_on_failure_restarts_what_ended_well(bench: Bench) -> None:
    bench.api.create(pod(container("app"), container("peer"), restartPolicy="OnFailure"))
    await bench.until(lambda: len(bench.runtime.live()) == 2)
    bench.runtime.exit("app", 0)
    await bench.quiet()
    assert not bench.runtime.live("app")
    await bench.kubelet.streams.restart(bench.api.objects[UID], "app")
    await bench.until(lambda: [each.metadata.attempt for each in bench.runtime.live("app")] == [1])


async def test_what_cannot_be_restarted(bench: Bench) -> None:
    bench.api.create(pod(restartPolicy="Never"))
    await bench.until(lambda: bench.runtime.live("app"))
    own = bench.api.objects[UID]
    before = bench.runtime.live("app")[0].id
    with pytest.raises(FailedPrecondition, match="restartPolicy is Never"):
        await bench.kubelet.streams.restart(own, "app")
    with pytest.raises(NotFound, match="did you mean 'app'"):
        await bench.kubelet.streams.restart(own, "ap")
    going = {**own, "metadata": {**own["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    with pytest.raises(FailedPrecondition, match="is being deleted"):
        await bench.kubelet.streams.restart(going, "app")
    await bench.quiet()
    assert bench.runtime.live("app")[0].id == before
