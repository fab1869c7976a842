"""pods/eviction and pods/binding through the door."""

from __future__ import annotations

from typing import Any

from .conftest import Api, pod

Json = dict[str, Any]

POD = "/api/v1/namespaces/default/pods/p"


def eviction(**fields: Any) -> Json:
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": "default"}, **fields}


async def test_eviction_is_a_deletion_that_says_why(api: Api) -> None:
    await api.create(pod())
    code, answer = await api("POST", f"{POD}/eviction", eviction(deleteOptions={"gracePeriodSeconds": 7}))
    assert (code, answer["kind"], answer["status"]) == (201, "Status", "Success")
    _, evicted = await api("GET", POD)
    assert evicted["metadata"]["deletionGracePeriodSeconds"] == 7
    (condition,) = [one for one in evicted["status"]["conditions"] if one["type"] == "DisruptionTarget"]
    assert (condition["status"], condition["reason"]) == ("True", "EvictionByEvictionAPI")


async def test_eviction_by_halves(api: Api) -> None:
    await api.create(pod())
    before = await api.storage.revision()
    assert (await api("POST", f"{POD}/eviction", eviction(), dryRun="All"))[0] == 201
    assert await api.storage.revision() == before
    assert (await api("POST", f"{POD}/eviction", {**eviction(), "metadata": {"name": "q"}}))[0] == 400
    assert (await api("POST", f"{POD}/eviction", pod()))[0] == 400
    assert (await api("POST", f"{POD}x/eviction", {**eviction(), "metadata": {}}))[0] == 404
    precondition = eviction(deleteOptions={"preconditions": {"uid": "other"}})
    assert (await api("POST", f"{POD}/eviction", precondition))[0] == 409
    assert (await api("GET", f"{POD}/eviction"))[0] == 405


async def test_drain_finds_evictions_in_discovery(api: Api) -> None:
    _, found = await api("GET", "/api/v1")
    (row,) = [one for one in found["resources"] if one["name"] == "pods/eviction"]
    assert (row["kind"], row["group"], row["version"]) == ("Eviction", "policy", "v1")
    (row,) = [one for one in found["resources"] if one["name"] == "pods/status"]
    assert "group" not in row


async def test_a_binding_comes_too_late(api: Api) -> None:
    await api.create(pod())
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    code, answer = await api("POST", f"{POD}/binding", body)
    assert (code, 'pod p is already assigned to node "n1"' in answer["message"]) == (409, True)
