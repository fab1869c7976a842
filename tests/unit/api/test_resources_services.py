"""Services: defaults, what was allocated, who answers."""

from __future__ import annotations

import asyncio
from typing import Any

from polong.api import endpoints
from polong.api.resources.services import Services

from .conftest import Api

Json = dict[str, Any]

PATH = "/api/v1/namespaces/default/services"


def service(name: str = "web", **spec: Any) -> Json:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


async def test_an_address_is_taken_once_and_comes_back_with_the_service(api: Api) -> None:
    _, first = await api("POST", PATH, service(clusterIP="10.96.0.7"))
    assert first["spec"]["clusterIPs"] == ["10.96.0.7"]
    code, refused = await api("POST", PATH, service("other", clusterIP="10.96.0.7"))
    assert (code, "provided IP is already allocated" in refused["message"]) == (422, True)
    _, kept = await api("PUT", f"{PATH}/web", service(selector={"a": "b"}))
    assert kept["spec"]["clusterIP"] == "10.96.0.7"
    code, refused = await api("PUT", f"{PATH}/web", service(clusterIP="10.96.0.8"))
    assert (code, "may not change once set" in refused["message"]) == (422, True)
    await api("DELETE", f"{PATH}/web")
    assert (await api("POST", PATH, service("other", clusterIP="10.96.0.7")))[0] == 201


async def test_a_dry_run_shows_an_address_and_takes_none(api: Api) -> None:
    _, shown = await api("POST", PATH, service(), dryRun="All")
    assert shown["spec"]["clusterIP"].startswith("10.96.")
    assert (await api("GET", PATH))[1]["items"] == []


async def test_node_ports_are_kept_by_port_and_protocol(api: Api) -> None:
    _, made = await api("POST", PATH, service(type="NodePort"))
    port = made["spec"]["ports"][0]["nodePort"]
    ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]
    _, again = await api("PUT", f"{PATH}/web", service(type="NodePort", ports=ports))
    first, second = again["spec"]["ports"]
    assert first["nodePort"] == port
    assert second["nodePort"] not in (0, port)


def pod(name: str, ip: str = "10.1.0.1", *, ready: bool = True, **spec: Any) -> Json:
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": {"app": "web"}},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}], **spec},
        "status": {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


WEB: Json = {
    "metadata": {"name": "web", "namespace": "default", "uid": "u"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "protocol": "TCP", "targetPort": "http"}]},
}


def test_who_is_ready_and_who_is_not():
    ending = pod("d", "10.1.0.4")
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    finished = pod("e", "10.1.0.5")
    finished["status"]["phase"] = "Succeeded"
    all_pods = [pod("a"), pod("b", "10.1.0.2", ready=False), pod("c", ""), ending, finished]
    (subset,) = endpoints.endpoints(WEB, all_pods)["subsets"]
    assert [each["ip"] for each in subset["addresses"]] == ["10.1.0.1"]
    assert [each["ip"] for each in subset["notReadyAddresses"]] == ["10.1.0.2"]
    (piece,) = endpoints.slices(WEB, all_pods)
    assert [(each["addresses"][0], each["conditions"]) for each in piece["endpoints"]] == [
        ("10.1.0.1", {"ready": True, "serving": True, "terminating": False}),
        ("10.1.0.2", {"ready": False, "serving": False, "terminating": False}),
        ("10.1.0.4", {"ready": False, "serving": True, "terminating": True}),
    ]


def test_pods_that_serve_a_named_port_under_another_number_are_slices_of_their_own():
    other = pod("b", "10.1.0.2")
    other["spec"]["containers"][0]["ports"][0]["containerPort"] = 9090
    found = endpoints.slices(WEB, [pod("a"), other])
    assert [(piece["ports"][0]["port"], len(piece["endpoints"])) for piece in found] == [(8080, 1), (9090, 1)]
    assert len({piece["metadata"]["name"] for piece in found}) == 2


def test_a_slice_holds_a_hundred():
    found = endpoints.slices(WEB, [pod(f"p{index:03}", f"10.1.1.{index % 250}") for index in range(250)])
    assert [len(piece["endpoints"]) for piece in found] == [100, 100, 50]
    assert [piece["metadata"]["name"] for piece in found] == [piece["metadata"]["name"] for piece in found]


def test_without_pods_there_is_one_empty_slice():
    (piece,) = endpoints.slices(WEB, [])
    assert piece["endpoints"] == []
    assert "subsets" not in endpoints.endpoints(WEB, [])


async def test_an_address_of_another_range_is_replaced(api: Api) -> None:
    """As after a restore from another node."""
    await api("POST", PATH, service())
    kind = Services()
    store = api.service._store
    stored, revision = await store.get(kind, "default", "web")
    await store.update(kind, {**stored, "spec": {**stored["spec"], "clusterIP": "10.99.0.1", "clusterIPs": ["10.99.0.1"]}}, revision)
    for _ in range(500):
        spec = (await api("GET", f"{PATH}/web"))[1]["spec"]
        if spec["clusterIP"].startswith("10.96."):
            break
        await asyncio.sleep(0.01)
    assert spec["clusterIP"].startswith("10.96.")
    assert spec["clusterIPs"] == [spec["clusterIP"]]
