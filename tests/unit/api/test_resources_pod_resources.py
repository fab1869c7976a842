"""spec.resources: defaults, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Api, pod

Json = dict[str, Any]

PODS = "/api/v1/namespaces/default/pods"


def sized(resources: Json, *containers: Json, **spec: Any) -> Json:
    made = [{"name": f"c{index}", "image": "x:1", "resources": each} for index, each in enumerate(containers or ({},))]
    return pod(**{"containers": made, "resources": resources} | spec)


@pytest.mark.parametrize(
    ("resources", "containers", "requests"),
    [
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, (), {"cpu": "1", "memory": "1Gi"}),
        ({"limits": {"cpu": "1"}}, ({"requests": {"cpu": "100m"}}, {"requests": {"cpu": "200m"}}), {"cpu": "300m"}),
        ({"limits": {"memory": "1Gi"}}, ({"limits": {"memory": "64Mi"}}, {"requests": {"cpu": "1"}}), {"memory": "64Mi", "cpu": "1"}),
        ({"requests": {"cpu": "2"}}, ({"requests": {"cpu": "100m"}},), {"cpu": "2"}),
    ],
)
async def test_requests_are_what_containers_request_or_the_limit(api: Api, resources: Json, containers: Any, requests: Json) -> None:
    assert (await api.create(sized(resources, *containers)))["spec"]["resources"]["requests"] == requests


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (sized({"requests": {"cpu": "1m"}}, {"requests": {"cpu": "2m"}}), "spec.resources.requests[cpu]",
         "must be greater than or equal to aggregate container requests of 2m"),
        (sized({"limits": {"memory": "1Mi"}}, {"limits": {"memory": "2Mi"}}), "spec.containers[0].resources.limits[memory]",
         "must be less than or equal to pod limits of 1Mi"),
        (sized({"limits": {"pods": "1"}}), "spec.resources.limits[pods]", 'supported values: "cpu", "memory"'),
        (sized({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}), "spec.resources.requests",
         "must be less than or equal to cpu limit of 1"),
        (sized({"claims": [{"name": "c"}]}), "spec.resources.claims", "Polong does not support this field yet"),
    ],
)  # fmt: skip
async def test_refusals(api: Api, body: Json, field: str, message: str) -> None:
    code, answer = await api("POST", PODS, body)
    assert code == 422, answer
    causes = {cause["field"]: cause["message"] for cause in answer["details"]["causes"]}
    assert message in causes.get(field, str(causes)), causes
