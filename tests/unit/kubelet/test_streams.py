"""Streams: the right container, Kubernetes' texts where there is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.kubelet.conftest import Bench
from tests.unit.kubelet.doubles import UID, container, pod

from polong.kit.errors import BadRequest, NotFound
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
