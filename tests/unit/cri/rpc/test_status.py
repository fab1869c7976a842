from __future__ import annotations

import json
from typing import Any

from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition


async def test_ready(node: Any) -> None:
    response = await node.service.status(v1.StatusRequest(verbose=True))
    assert {each.type: each.status for each in response.status.conditions} == {"RuntimeReady": True, "NetworkReady": True}
    assert json.loads(response.info["config"])["ociRuntime"] == "fake"
    assert {each.name for each in response.runtime_handlers} == {"", "other"}


async def test_each_condition_says_why_not(node: Any) -> None:
    node.world.fail["version"] = FailedPrecondition("crun is not installed")
    node.network.not_ready = "no CNI plugins"
    conditions = (await node.service.status(v1.StatusRequest())).status.conditions
    assert [(each.status, each.reason, each.message) for each in conditions] == [
        (False, "OCIRuntimeNotReady", "crun is not installed"),
        (False, "NetworkPluginNotReady", "no CNI plugins"),
    ]


async def test_version(node: Any) -> None:
    response = await node.service.version(v1.VersionRequest())
    assert (response.runtime_name, response.runtime_api_version) == ("polong", "v1")
