"""pods/resize: what Kubernetes refuses is refused in its words."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from .conftest import Api, pod

Json = dict[str, Any]

POD = "/api/v1/namespaces/default/pods/p"
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}


def sized(**resources: Any) -> Json:
    return {"containers": [{"name": "c", "image": "x:1", "resources": resources}]}


async def resized(api: Api, **resources: Any) -> tuple[int, Json]:
    return await api("PATCH", f"{POD}/resize", {"spec": {"containers": [{"name": "c", "resources": resources}]}}, headers=STRATEGIC)


async def test_a_resize_is_a_new_generation_of_the_spec(api: Api) -> None:
    made = await api.create(pod(**sized(requests={"cpu": "100m"}, limits={"cpu": "200m"})))
    code, answer = await resized(api, requests={"cpu": "150m"}, limits={"cpu": "300m"})
    assert code == 200, answer
    assert answer["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "150m"}, "limits": {"cpu": "300m"}}
    assert answer["metadata"]["generation"] == made["metadata"]["generation"] + 1
    assert answer["metadata"]["managedFields"][-1]["subresource"] == "resize"
    assert (await api("GET", f"{POD}/resize"))[1] == (await api("GET", POD))[1]


async def test_what_resizes_nothing_is_taken_and_the_rest_discarded(api: Api) -> None:
    made = deepcopy(await api.create(pod(**sized(requests={"cpu": "100m"}))))
    made["spec"]["containers"][0]["image"] = "other:1"
    made["metadata"]["labels"] = {"a": "b"}
    code, after = await api("PUT", f"{POD}/resize", made)
    assert code == 200, after
    assert (after["spec"]["containers"][0]["image"], after["metadata"].get("labels")) == ("x:1", None)


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"requests": {"cpu": "1"}, "limits": {"cpu": "100m"}}, "must be less than or equal to cpu limit of 100m"),
        ({"requests": {"cpu": "100m", "memory": "1Mi"}, "limits": {"cpu": "100m", "memory": "1Mi"}},
         'spec: Invalid value: "Guaranteed": Pod QOS Class may not change as a result of resizing'),
        ({"requests": {"ephemeral-storage": "1Gi"}}, "spec: Forbidden: only cpu and memory resources are mutable\n"),
        ({"limits": None}, "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"),
    ],
)  # fmt: skip
async def test_refused_resizes(api: Api, resources: Json, message: str) -> None:
    await api.create(pod(**sized(requests={"cpu": "50m"}, limits={"cpu": "200m"})))
    code, answer = await resized(api, **resources)
    assert (code, message in answer["message"]) == (422, True), answer["message"]


async def test_resources_change_by_no_other_door(api: Api) -> None:
    await api.create(pod(**sized(requests={"cpu": "100m"})))
    patch = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "200m"}}}]}}
    code, answer = await api("PATCH", POD, patch, headers=STRATEGIC)
    assert (code, '- \t"100m"\n+ \t"200m"' in answer["message"]) == (422, True)
