"""Init containers, side-cars, ephemeral containers and deadlines through a whole kubelet, over a runtime and an API in memory."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.unit.kubelet.conftest import Bench
from tests.unit.kubelet.doubles import UID, container, pod

from polong.criapi.wire import v1

Json = dict[str, Any]

ALWAYS = {"restartPolicy": "Always"}


def ready(bench: Bench) -> bool:
    return {each["type"]: each["status"] for each in bench.api.status(UID).get("conditions", ())}.get("Ready") == "True"


def calls(bench: Bench, kind: str) -> list[str]:
    return [each[1] for each in bench.runtime.calls if each[0] == kind]


async def test_steps_then_side_cars_then_the_rest_and_none_again_after_a_restart_of_the_daemon(bench: Bench) -> None:
    bench.api.create(pod(container("app"), initContainers=[container("step"), container("car", **ALWAYS)]))
    await bench.until(lambda: bench.runtime.live("step"))
    await bench.quiet()
    assert calls(bench, "start_container") == ["step"]
    assert bench.api.status(UID)["phase"] == "Pending"
    bench.runtime.exit("step")
    await bench.until(lambda: ready(bench))
    assert calls(bench, "start_container") == ["step", "car", "app"]
    await bench.again()
    await bench.quiet()
    assert calls(bench, "start_container") == ["step", "car", "app"]
    bench.runtime.exit("app", 1)
    await bench.until(lambda: bench.api.status(UID)["containerStatuses"][0]["restartCount"] == 1)
    assert calls(bench, "start_container") == ["step", "car", "app", "app"]


async def test_side_cars_are_stopped_one_by_one_after_the_rest(bench: Bench) -> None:
    bench.api.create(pod(container("a"), container("b"), initContainers=[container("one", **ALWAYS), container("two", **ALWAYS)]))
    await bench.until(lambda: ready(bench))
    bench.runtime.stubborn.add("b")
    bench.api.delete(UID, 10)
    await bench.until(lambda: set(calls(bench, "stop_container")) == {"a", "b"})
    await bench.quiet()
    assert len(calls(bench, "stop_container")) == 2
    await bench.clock.advance(10)
    await bench.until(lambda: bench.api.deleted == [UID])
    assert calls(bench, "stop_container")[2:] == ["two", "one"]
    # What the others left of the grace, and two seconds at the least.
    stops = [each for each in bench.runtime.calls if each[0] == "stop_container"]
    assert stops[2:] == [("stop_container", "two", 2), ("stop_container", "one", 2)]


async def test_a_debugger_starts_once_its_target_is_there(bench: Bench) -> None:
    bench.api.create(pod(container("app"), initContainers=[container("step")]))
    await bench.until(lambda: bench.runtime.live("step"))
    bench.api.debug(UID, container("look", targetContainerName="app"))
    await bench.until(lambda: bench.api.status(UID).get("ephemeralContainerStatuses"))
    waiting = {"reason": "CreateContainerConfigError", "message": "unable to find target container app"}
    await bench.until(lambda: bench.api.status(UID)["ephemeralContainerStatuses"][0]["state"] == {"waiting": waiting})
    bench.runtime.exit("step")
    await bench.until(lambda: bench.runtime.live("look"))
    config = next(each for each in bench.runtime.configs.values() if each.metadata.name == "look")
    namespaces = config.linux.security_context.namespace_options
    assert (namespaces.pid, namespaces.target_id) == (v1.TARGET, bench.runtime.live("app")[0].id)
    bench.runtime.exit("look", 3)
    bench.runtime.exit("app", 1)
    await bench.until(lambda: ready(bench) and bench.api.status(UID)["containerStatuses"][0]["restartCount"] == 1)
    assert calls(bench, "start_container").count("look") == 1


async def test_a_deadline_ends_a_pod_also_while_it_pulls(bench: Bench) -> None:
    bench.images.gate = asyncio.Event()
    bench.api.create(pod(container("app"), container("slow", image="slow:1"), activeDeadlineSeconds=60))
    # The one whose image is here does not wait for the other's.
    await bench.until(lambda: bench.runtime.live("app"))
    assert bench.images.pulls == ["slow:1"]
    await bench.clock.advance(61)
    await bench.until(lambda: bench.api.status(UID)["phase"] == "Failed")
    status = bench.api.status(UID)
    assert status["reason"] == "DeadlineExceeded"
    await bench.quiet()
    assert not bench.runtime.live()
    assert bench.api.told("DeadlineExceeded") == ["Pod was active on the node longer than the specified deadline"]
    assert UID in bench.api.objects
