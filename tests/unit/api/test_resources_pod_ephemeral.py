"""pods/ephemeralcontainers: adding is all that it can do."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from .conftest import Api, pod

POD = "/api/v1/namespaces/default/pods/p"
DOOR = f"{POD}/ephemeralcontainers"
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}

Json = dict[str, Any]


def added(*containers: Json) -> Json:
    return {"spec": {"ephemeralContainers": list(containers)}}


def debugger(name: str = "d", **fields: Any) -> Json:
    """As `kubectl debug` sends it."""
    return {
        "name": name,
        "image": "busybox:1.28",
        "resources": {},
        "terminationMessagePolicy": "File",
        "stdin": True,
        "tty": True,
        **fields,
    }


async def test_as_kubectl_debug_sends_it(api: Api) -> None:
    await api.create(pod())
    code, made = await api("PATCH", DOOR, added(debugger(targetContainerName="c")), headers=STRATEGIC)
    assert (code, made["metadata"]["generation"]) == (200, 2)
    (container,) = made["spec"]["ephemeralContainers"]
    assert (container["imagePullPolicy"], container["targetContainerName"]) == ("IfNotPresent", "c")
    _, made = await api("PATCH", DOOR, added(debugger("e")), headers=STRATEGIC)
    assert {one["name"] for one in made["spec"]["ephemeralContainers"]} == {"d", "e"}
    assert (await api("GET", DOOR))[1] == (await api("GET", POD))[1] == made


async def test_by_put(api: Api) -> None:
    made = deepcopy(await api.create(pod()))
    made["spec"]["ephemeralContainers"] = [debugger()]
    # Whatever else a body says is discarded, not refused.
    made["spec"]["hostPID"] = True
    made["metadata"]["labels"] = {"a": "b"}
    code, after = await api("PUT", DOOR, made)
    assert code == 200, after["message"]
    after = deepcopy(after)
    assert "labels" not in after["metadata"]
    assert "hostPID" not in after["spec"]
    after["spec"]["ephemeralContainers"].append(debugger("e"))
    assert (await api("PUT", DOOR, after))[0] == 200
    assert len((await api("GET", DOOR))[1]["spec"]["ephemeralContainers"]) == 2


async def test_not_through_another_door(api: Api) -> None:
    await api.create(pod())
    code, answer = await api("PATCH", POD, added(debugger()), headers=STRATEGIC)
    assert code == 422
    assert "spec: Forbidden: pod updates may not change fields other than" in answer["message"]
    code, answer = await api("PATCH", f"{POD}/status", added(debugger()), headers=STRATEGIC)
    assert "ephemeralContainers" not in answer["spec"]


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (debugger("c"), 'spec.ephemeralContainers[0].name: Duplicate value: "c"'),
        (debugger(targetContainerName="x"), 'spec.ephemeralContainers[0].targetContainerName: Not found: "x"'),
        (debugger(targetContainerName="d"), 'spec.ephemeralContainers[0].targetContainerName: Not found: "d"'),
        (
            debugger(ports=[{"containerPort": 1}]),
            "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
        ),
        (
            debugger(livenessProbe={"exec": {"command": ["x"]}}),
            "spec.ephemeralContainers[0].livenessProbe: Forbidden: cannot be set for an Ephemeral Container",
        ),
        (
            debugger(resources={"limits": {"cpu": "1"}}),
            "spec.ephemeralContainers[0].resources: Forbidden: cannot be set for an Ephemeral Container",
        ),
        (
            debugger(volumeMounts=[{"name": "v", "mountPath": "/v", "subPath": "a"}]),
            "spec.ephemeralContainers[0].volumeMounts[0].subPath: Forbidden: cannot be set for an Ephemeral Container",
        ),
        (debugger(image=""), "spec.ephemeralContainers[0].image: Required value"),
    ],
)
async def test_refused(api: Api, container: Json, message: str) -> None:
    await api.create(pod(volumes=[{"name": "v"}]))
    code, answer = await api("PATCH", DOOR, added(container), headers=STRATEGIC)
    assert (code, message in answer["message"]) == (422, True), answer


async def test_what_is_there_stays_as_it_is(api: Api) -> None:
    made = deepcopy(await api.create(pod()))
    made["spec"]["ephemeralContainers"] = [debugger()]
    _, made = await api("PUT", DOOR, made)
    made = deepcopy(made)
    made["spec"]["ephemeralContainers"] = [debugger(image="nginx")]
    code, answer = await api("PUT", DOOR, made)
    assert (code, answer["details"]["causes"][0]["field"]) == (422, "spec.ephemeralContainers")
    assert 'Forbidden: existing ephemeral containers "d" may not be changed' in answer["message"]
    made["spec"]["ephemeralContainers"] = []
    code, answer = await api("PUT", DOOR, made)
    assert 'Forbidden: existing ephemeral containers "d" may not be removed' in answer["message"]


async def test_static_pods_take_none(api: Api) -> None:
    body = pod()
    body["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    await api.create(body)
    code, answer = await api("PATCH", DOOR, added(debugger()), headers=STRATEGIC)
    assert (code, "static pods do not support ephemeral containers" in answer["message"]) == (422, True)


async def test_a_missing_pod_is_named(api: Api) -> None:
    """kubectl takes a 404 without a name for a cluster without ephemeral containers."""
    code, answer = await api("PATCH", DOOR, added(debugger()), headers=STRATEGIC)
    assert (code, answer["details"]) == (404, {"name": "p", "kind": "pods"})
