"""Resizing over doubles: who is given what, in which order limits are set, what is said of it."""

from __future__ import annotations

import copy
import os
from typing import Any

import pytest
from tests.unit.kubelet.conftest import Bench
from tests.unit.kubelet.doubles import UID, container, pod
from tests.unit.kubelet.test_plan import instance

from polong.kit.errors import Unavailable
from polong.kubelet.observation import Applied
from polong.kubelet.resize import lacking, reported
from polong.objects import podresources

Json = dict[str, Any]
OTHER = "0a1b2c3d-0000-4000-8000-000000000002"
CORES = len(os.sched_getaffinity(0))


def sized(cpu: str, limit: str = "", name: str = "app", **fields: Any) -> Json:
    resources: Json = {"requests": {"cpu": cpu}}
    if limit:
        resources["limits"] = {"cpu": limit}
    return container(name, resources=resources, **fields)


def ask(bench: Bench, cpu: str, limit: str = "", uid: str = UID) -> None:
    found = copy.deepcopy(bench.api.objects[uid])
    found["spec"]["containers"][0]["resources"] = sized(cpu, limit)["resources"]
    found["metadata"]["generation"] += 1
    bench.api.objects[uid] = found
    bench.api._tell("MODIFIED", found)


def told(bench: Bench, kind: str, uid: str = UID) -> Json:
    return next((each for each in bench.api.status(uid).get("conditions") or () if each["type"] == kind), {})


def shares(bench: Bench, name: str = "app") -> int:
    (found,) = bench.runtime.live(name)
    return found.resources.linux.cpu_shares


async def test_the_pod_is_widened_before_and_narrowed_after_its_containers(bench: Bench) -> None:
    bench.api.create(pod(sized("100m", "200m")))
    await bench.until(bench.runtime.live)
    ask(bench, "50m", "400m")
    await bench.until(lambda: shares(bench) == 51)
    await bench.until(lambda: len(bench.cgroups.limits) == 2)
    # Shares go down, the quota goes up: in between both have room.
    assert [(each.shares, each.quota) for each in bench.cgroups.limits] == [(102, 40_000), (51, 40_000)]
    await bench.clock.advance(1)
    await bench.until(lambda: bench.api.told("ResizeCompleted"))
    await bench.until(lambda: bench.api.status(UID)["containerStatuses"][0]["resources"]["requests"]["cpu"] == "50m")
    assert told(bench, "PodResizeInProgress") == {}
    (entry,) = bench.api.status(UID)["containerStatuses"]
    assert entry["resources"] == {"limits": {"cpu": "400m"}, "requests": {"cpu": "50m"}}
    assert entry["restartCount"] == 0
    assert bench.api.told("ResizeStarted")[0].startswith('Pod resize started: {"containers":[{"name":"app","resources":{"requests":')


async def test_what_cannot_be_set_is_said_and_tried_again(bench: Bench) -> None:
    bench.api.create(pod(sized("100m")))
    await bench.until(bench.runtime.live)
    bench.runtime.fail_update["app"] = Unavailable("the runtime sulks")
    ask(bench, "200m")
    await bench.until(lambda: told(bench, "PodResizeInProgress").get("reason") == "Error")
    assert told(bench, "PodResizeInProgress")["message"] == "the runtime sulks"
    assert shares(bench) == 102
    assert len(bench.api.told("ResizeError")) == 1
    bench.runtime.fail_update.clear()
    await bench.clock.advance(2)
    await bench.until(lambda: not told(bench, "PodResizeInProgress"))
    assert shares(bench) == 204


async def test_who_waits_is_given_in_order_of_priority(bench: Bench) -> None:
    for uid, name, fields in ((UID, "crowd", {}), (OTHER, "low", {"priority": 1}), (OTHER[:-1] + "3", "high", {"priority": 9})):
        bench.api.create(pod(sized(f"{CORES * 1000 - 300}m" if name == "crowd" else "100m", name=name), uid=uid, name=name, **fields))
    await bench.until(lambda: len(bench.runtime.live()) == 3)
    for uid in (OTHER, OTHER[:-1] + "3"):
        ask(bench, f"{CORES * 1000 - 200}m", uid=uid)
        await bench.until(lambda uid=uid: told(bench, "PodResizePending", uid).get("reason") == "Deferred")
    expected = f"requested: {CORES * 1000 - 200}, used: {CORES * 1000 - 200}, capacity: {CORES * 1000}"
    assert told(bench, "PodResizePending", OTHER)["message"] == f"Node didn't have enough resource: cpu, {expected}"
    bench.api.force_delete(UID)
    await bench.until(lambda: not bench.runtime.live("crowd"))
    await bench.until(lambda: shares(bench, "high") == (CORES * 1000 - 200) * 1024 // 1000)
    await bench.quiet()
    assert shares(bench, "low") == 102
    assert told(bench, "PodResizePending", OTHER)["reason"] == "Deferred"


async def test_a_new_daemon_takes_no_wish_for_a_promise(bench: Bench) -> None:
    bench.api.create(pod(sized("100m")))
    await bench.until(bench.runtime.live)
    ask(bench, f"{CORES + 1}")
    await bench.until(lambda: told(bench, "PodResizePending").get("reason") == "Infeasible")
    await bench.again()
    await bench.quiet()
    assert shares(bench) == 102
    assert told(bench, "PodResizePending")["reason"] == "Infeasible"


async def test_a_file_that_cannot_be_read_is_no_obstacle(bench: Bench) -> None:
    bench.api.create(pod(sized("100m")))
    await bench.until(bench.runtime.live)
    file = bench.config.root_dir / "pods" / UID / "resources.json"
    assert file.exists()
    file.write_text('{"allocated": [')
    await bench.again()
    ask(bench, "200m")
    await bench.until(lambda: shares(bench) == 204)
    bench.api.delete(UID)
    await bench.until(lambda: UID in bench.api.deleted)
    assert not file.parent.exists()


def test_where_nobody_remembers_the_kernel_is_asked() -> None:
    wanted = sized("100m", "200m")
    assert lacking(pod(), wanted, instance(applied=Applied(102, 20_000)), {}) == frozenset()
    assert lacking(pod(), wanted, instance(applied=Applied(51, 20_000)), {}) == {"cpu"}
    assert lacking(pod(), wanted, instance(applied=Applied(102, 20_000, 1024)), {}) == {"memory"}
    assert lacking(pod(), wanted, instance(), {}) == frozenset()
    # 2m and 1m are the same to the kernel: only who remembers can tell.
    assert lacking(pod(), sized("1m"), instance(applied=Applied(2)), {}) == frozenset()
    assert lacking(pod(), sized("1m"), instance(applied=Applied(2)), {"app0": sized("2m")["resources"]}) == {"cpu"}


@pytest.mark.parametrize(
    ("applied", "expected"),
    [
        (Applied(102, 20_000), {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}),
        (Applied(204, 0), {"requests": {"cpu": "200m"}}),
        (Applied(51, 10_000, 64 << 20), {"requests": {"cpu": "50m"}, "limits": {"cpu": "100m", "memory": "64Mi"}}),
    ],
)
def test_the_status_tells_what_is_in_force(applied: Applied, expected: Json) -> None:
    assert reported(pod(), sized("100m", "200m"), instance(applied=applied), {}) == expected


def test_what_is_kept_for_a_pod_that_is_resized() -> None:
    made = pod(sized("500m"))
    entry = {"name": "app", "allocatedResources": {"cpu": "100m"}, "resources": {"requests": {"cpu": "200m"}}}
    made["status"] |= {"containerStatuses": [entry]}
    assert podresources.reserved(made)["cpu"] * 1000 == 500
    made["status"]["conditions"] = [{"type": "PodResizePending", "reason": "Infeasible", "status": "True"}]
    assert podresources.reserved(made)["cpu"] * 1000 == 200


async def test_who_has_no_limit_follows_its_pod(bench: Bench) -> None:
    whole = {"requests": {"cpu": "100m"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    bench.api.create(pod(container(), sized("10m", "50m", name="own"), resources=whole))
    await bench.until(lambda: len(bench.runtime.live()) == 2)
    (app,), (own,) = bench.runtime.live("app"), bench.runtime.live("own")
    assert (app.resources.linux.cpu_shares, app.resources.linux.cpu_quota, app.resources.linux.memory_limit_in_bytes) == (
        2,
        50_000,
        64 << 20,
    )
    assert (own.resources.linux.cpu_quota, own.resources.linux.memory_limit_in_bytes) == (5_000, 64 << 20)
    found = copy.deepcopy(bench.api.objects[UID])
    found["spec"]["resources"] = {"requests": {"cpu": "200m"}, "limits": {"cpu": "800m", "memory": "64Mi"}}
    found["metadata"]["generation"] += 1
    bench.api.objects[UID] = found
    bench.api._tell("MODIFIED", found)
    await bench.until(lambda: bench.runtime.live("app")[0].resources.linux.cpu_quota == 80_000)
    assert bench.runtime.live("own")[0].resources.linux.cpu_quota == 5_000
    await bench.until(lambda: [each.quota for each in bench.cgroups.limits][-1:] == [80_000])
    assert bench.cgroups.limits[-1].shares == 204
