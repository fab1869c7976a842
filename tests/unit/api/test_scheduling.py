"""Where Pods go: the one node where it will do, else Pending with kube-scheduler's words, until something changes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .conftest import Api, pod

Json = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
NODES = "/api/v1/nodes"
MERGE = {"content-type": "application/merge-patch+json"}
ALLOCATABLE = {"cpu": "2", "memory": "1Gi", "pods": "3"}


async def node(api: Api, name: str = "n1", labels: Json | None = None, allocatable: Json | None = None, **spec: Any) -> None:
    body = {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}}, "spec": spec}
    assert (await api("POST", NODES, body))[0] == 201
    status = {
        "allocatable": ALLOCATABLE if allocatable is None else allocatable,
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    assert (await api("PATCH", f"{NODES}/{name}/status", {"status": status}, headers=MERGE))[0] == 200
    for _ in range(5):
        await asyncio.sleep(0)


def sized(name: str, **requests: str) -> Json:
    return pod(name, containers=[{"name": "c", "image": "x:1", "resources": {"requests": requests}}])


def scheduled(made: Json) -> tuple[str, str]:
    """(node, why not)."""
    condition = next(one for one in made["status"]["conditions"] if one["type"] == "PodScheduled")
    assert (condition["status"] == "True") is bool(made["spec"].get("nodeName"))
    assert condition.get("reason") == (None if made["spec"].get("nodeName") else "Unschedulable")
    return made["spec"].get("nodeName", ""), condition.get("message", "")


async def placed(api: Api, name: str) -> Json:
    for _ in range(300):
        _, found = await api("GET", f"{PODS}/{name}")
        if found["spec"].get("nodeName"):
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(found["status"])


async def test_a_pod_is_placed_in_the_write_that_makes_it(api: Api) -> None:
    made = await api.create(pod())
    assert scheduled(made) == ("n1", "")
    assert "metadata" in made
    _, dry = await api("POST", PODS, pod("dry"), dryRun="All")
    assert "nodeName" not in dry["spec"]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, "node(s) didn't match Pod's node affinity/selector"),
        (
            {
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}]
                        }
                    }
                }
            },
            "node(s) didn't match Pod's node affinity/selector",
        ),
        (
            {
                "affinity": {
                    "podAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [
                            {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "x"}}}
                        ]
                    }
                }
            },
            "node(s) didn't match pod affinity rules",
        ),
        (
            {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}]},
            "node(s) didn't match pod topology spread constraints (missing required label)",
        ),
        ({"containers": [{"name": "c", "image": "x:1", "resources": {"requests": {"cpu": "3"}}}]}, "Insufficient cpu"),
    ],
)
async def test_what_does_not_fit_waits_and_says_why(api: Api, spec: Json, why: str) -> None:
    await node(api, labels={"zone": "a"})
    made = await api.create(pod(**spec))
    assert scheduled(made) == ("", f"0/1 nodes are available: 1 {why}.")
    assert made["status"]["phase"] == "Pending"
    _, events = await api("GET", "/api/v1/namespaces/default/events", fieldSelector="reason=FailedScheduling")
    assert [(event["type"], event["message"]) for event in events["items"]] == [("Warning", f"0/1 nodes are available: 1 {why}.")]
    assert events["items"][0]["source"] == {"component": "default-scheduler"}
    assert (await api("DELETE", f"{PODS}/p"))[0] == 200
    assert (await api("GET", f"{PODS}/p"))[0] == 404


async def test_resources_are_counted_until_a_pod_is_finished_or_gone(api: Api) -> None:
    await node(api)
    assert scheduled(await api.create(sized("a", cpu="1500m")))[0] == "n1"
    assert scheduled(await api.create(sized("b", cpu="1", memory="2Gi")))[1] == (
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory."
    )
    assert scheduled(await api.create(sized("c", cpu="1")))[1] == "0/1 nodes are available: 1 Insufficient cpu."
    await api("PATCH", f"{PODS}/a/status", {"status": {"phase": "Failed"}}, headers=MERGE)
    assert scheduled(await placed(api, "c")) == ("n1", "")
    assert scheduled((await api("GET", f"{PODS}/b"))[1])[0] == ""


async def test_the_more_important_goes_first(api: Api) -> None:
    await node(api, allocatable={"cpu": "2", "memory": "1Gi", "pods": "1"})
    await api.create(pod("first"))
    low = await api.create(pod("low"))
    assert scheduled(low)[1] == "0/1 nodes are available: 1 Too many pods."
    await api.create(pod("high", priorityClassName="system-node-critical"))
    await api("DELETE", f"{PODS}/first", gracePeriodSeconds="0")
    await placed(api, "high")
    assert scheduled((await api("GET", f"{PODS}/low"))[1])[0] == ""


async def test_many_at_once_do_not_share_the_last_place(api: Api) -> None:
    await node(api, allocatable={"cpu": "2", "memory": "1Gi", "pods": "100"})
    made = await asyncio.gather(*(api.create(sized(f"p{number}", cpu="300m")) for number in range(10)))
    assert sum(bool(each["spec"].get("nodeName")) for each in made) == 6


async def test_host_ports_clash_by_address_and_protocol(api: Api) -> None:
    def with_port(name: str, address: str, protocol: str) -> Json:
        port = {"containerPort": 80, "hostPort": 54321, "protocol": protocol, **({"hostIP": address} if address else {})}
        return pod(name, containers=[{"name": "c", "image": "x:1", "ports": [port]}])

    assert scheduled(await api.create(with_port("a", "127.0.0.1", "TCP")))[0]
    assert scheduled(await api.create(with_port("b", "127.0.0.2", "TCP")))[0]
    assert scheduled(await api.create(with_port("c", "127.0.0.1", "UDP")))[0]
    for name, address in (("d", "127.0.0.1"), ("e", "")):
        why = "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
        assert scheduled(await api.create(with_port(name, address, "TCP"))) == ("", why)


async def test_cordon_taint_and_back(api: Api) -> None:
    await node(api)
    await api("PATCH", f"{NODES}/n1", {"spec": {"unschedulable": True}}, headers=MERGE)
    await asyncio.sleep(0.05)
    made = await api.create(pod())
    assert scheduled(made) == ("", "0/1 nodes are available: 1 node(s) were unschedulable.")
    taint = {"key": "k", "value": "v", "effect": "NoSchedule"}
    await api("PATCH", f"{NODES}/n1", {"spec": {"unschedulable": None, "taints": [taint]}}, headers=MERGE)
    await asyncio.sleep(0.1)
    _, found = await api("GET", f"{PODS}/p")
    assert scheduled(found) == ("", "0/1 nodes are available: 1 node(s) had untolerated taint {k: v}.")
    assert scheduled(await api.create(pod("q", tolerations=[{"key": "k", "operator": "Exists"}])))[0] == "n1"
    await api("PATCH", f"{NODES}/n1", {"spec": {"taints": None}}, headers=MERGE)
    await placed(api, "p")


async def test_pods_that_avoid_each_other(api: Api) -> None:
    await node(api)
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    together = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}

    def labelled(name: str, affinity: Json) -> Json:
        return {**pod(name, affinity=affinity), "metadata": {"name": name, "labels": {"app": "x"}}}

    assert scheduled(await api.create(labelled("alone", together)))[0] == "n1"
    assert scheduled(await api.create(labelled("apart", apart)))[1].endswith("1 node(s) didn't match pod anti-affinity rules.")
    await api("DELETE", f"{PODS}/alone", gracePeriodSeconds="0")
    await placed(api, "apart")
    assert scheduled(await api.create(labelled("near", {})))[1].endswith("1 node(s) didn't satisfy existing pods anti-affinity rules.")


async def test_another_scheduler_binds_its_own_pods(api: Api) -> None:
    made = await api.create(pod(schedulerName="mine"))
    assert "nodeName" not in made["spec"]
    body = {"target": {"kind": "Node", "name": "n1"}}
    assert (await api("POST", f"{PODS}/p/binding", body))[0] == 201
    _, found = await api("GET", f"{PODS}/p")
    assert scheduled(found) == ("n1", "")
    code, status = await api("POST", f"{PODS}/p/binding", body)
    assert (code, status["message"].endswith('pod p is already assigned to node "n1"')) == (409, True)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (
            {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}},
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
        ),
        (
            {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}},
            "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey",
        ),
        (
            {"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"}]},
            "spec.topologySpreadConstraints[0].maxSkew",
        ),
        (
            {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "Perhaps"}]},
            "spec.topologySpreadConstraints[0].whenUnsatisfiable",
        ),
    ],
)
async def test_what_cannot_be_asked(api: Api, spec: Json, field: str) -> None:
    code, status = await api("POST", PODS, pod(**spec))
    assert (code, [cause["field"] for cause in status["details"]["causes"]]) == (422, [field])


# --- taints -------------------------------------------------------------------------------------------------------------------------


async def gone(api: Api, name: str, within: int = 300) -> bool:
    for _ in range(within):
        if (await api("GET", f"{PODS}/{name}"))[1].get("metadata", {}).get("deletionTimestamp"):
            return True
        await asyncio.sleep(0.01)
    return False


def tolerating(name: str, seconds: int | None) -> Json:
    toleration = {"key": "k", "operator": "Exists", "effect": "NoExecute"}
    return pod(name, tolerations=[toleration if seconds is None else {**toleration, "tolerationSeconds": seconds}])


async def test_no_execute_drives_out_whom_it_is_not_tolerated_by(api: Api) -> None:
    await node(api, allocatable={"cpu": "2", "memory": "1Gi", "pods": "9"})
    for made in (pod("none"), tolerating("zero", 0), tolerating("long", 5000), tolerating("ever", None)):
        await api.create(made)
    taint = [{"key": "k", "effect": "NoExecute"}]
    await api("PATCH", f"{NODES}/n1", {"spec": {"taints": taint}}, headers=MERGE)
    assert await gone(api, "none")
    assert await gone(api, "zero")
    _, found = await api("GET", f"{PODS}/none")
    assert {"DisruptionTarget", "DeletionByTaintManager"} <= {
        text for each in found["status"]["conditions"] for text in (each["type"], each.get("reason"))
    }
    assert not await gone(api, "long", 10)
    await api("PATCH", f"{NODES}/n1", {"spec": {"taints": None}}, headers=MERGE)
    for _ in range(100):
        _, events = await api("GET", "/api/v1/namespaces/default/events", fieldSelector="reason=TaintManagerEviction")
        said = sorted(event["message"] for event in events["items"])
        if len(said) == 3:
            break
        await asyncio.sleep(0.01)
    assert said == [
        "Cancelling deletion of Pod default/long",
        "Marking for deletion Pod default/none",
        "Marking for deletion Pod default/zero",
    ]
    assert not await gone(api, "long", 5)
    assert not await gone(api, "ever", 5)


async def test_a_node_that_is_not_ready_or_cordoned_says_so_by_taints(api: Api) -> None:
    def keys(found: Json) -> list[str]:
        return sorted(taint["key"].rpartition("/")[2] for taint in found["spec"].get("taints", []))

    async def settled(expected: list[str]) -> None:
        for _ in range(200):
            if keys((await api("GET", f"{NODES}/other"))[1]) == expected:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(await api("GET", f"{NODES}/other"))

    await api("POST", NODES, {"metadata": {"name": "other"}})
    await settled(["not-ready"])
    status = {"conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "True"}]}
    await api("PATCH", f"{NODES}/other/status", {"status": status}, headers=MERGE)
    await settled(["disk-pressure"])
    await api("PATCH", f"{NODES}/other", {"spec": {"unschedulable": True}}, headers=MERGE)
    await settled(["disk-pressure", "unschedulable"])
