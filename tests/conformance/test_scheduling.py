"""Where Pods are placed on a real node: fit, selectors, host ports, taints, cordon and drain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.cluster import Cluster
from tests.e2e.cluster import Node, any_kubectl, busybox, eventually, pod

Json = dict[str, Any]


def sleeper(name: str, **spec: Any) -> Json:
    return pod(name, busybox("c", "exec sleep 1000"), **spec)


def scheduled(found: Json) -> Json:
    condition: Json = next((one for one in found["status"].get("conditions", []) if one["type"] == "PodScheduled"), {})
    return condition


def waits(cluster: Cluster, name: str, why: str) -> None:
    found = cluster.until(name, lambda each: scheduled(each).get("status") == "False", "is not scheduled")
    assert (found["status"]["phase"], scheduled(found)["reason"]) == ("Pending", "Unschedulable")
    assert why in scheduled(found)["message"]
    assert why in cluster.event(name, "FailedScheduling")["message"]


@pytest.fixture
def node_name(cluster: Cluster) -> Iterator[str]:
    name = cluster.list("nodes", namespaced=False)[0]["metadata"]["name"]
    yield name
    change = {"metadata": {"labels": {"conformance": None}}, "spec": {"taints": None, "unschedulable": None}}
    cluster.patch("nodes", name, change, kind="merge", namespaced=False)


@pytest.mark.behaviour("scheduling/resource-fit")
def test_what_does_not_fit_waits_until_there_is_room(cluster: Cluster, node_name: str) -> None:
    cpu = int(cluster.get("nodes", node_name, namespaced=False)["status"]["allocatable"]["cpu"])
    half = {"requests": {"cpu": f"{cpu * 600}m"}}
    cluster.run(pod("first", busybox("c", "exec sleep 1000", resources=half)))
    cluster.create("pods", pod("second", busybox("c", "exec sleep 1000", resources=half)))
    waits(cluster, "second", "0/1 nodes are available: 1 Insufficient cpu.")
    cluster.delete("pods", "first", grace=1)
    cluster.ready("second")
    cluster.delete("pods", "second", grace=1)


@pytest.mark.behaviour("scheduling/node-selector", "scheduling/node-selector-mismatch")
def test_a_selector_waits_for_its_label(cluster: Cluster, node_name: str) -> None:
    cluster.create("pods", sleeper("chosen", nodeSelector={"conformance": "yes"}))
    waits(cluster, "chosen", "1 node(s) didn't match Pod's node affinity/selector")
    cluster.patch("nodes", node_name, {"metadata": {"labels": {"conformance": "yes"}}}, kind="merge", namespaced=False)
    assert cluster.ready("chosen")["spec"]["nodeName"] == node_name
    cluster.delete("pods", "chosen", grace=1)


@pytest.mark.behaviour("scheduling/hostport-conflict")
def test_a_host_port_at_every_address_conflicts(cluster: Cluster) -> None:
    def at(name: str, address: str) -> Json:
        port = {"containerPort": 80, "hostPort": 54322, "hostIP": address, "protocol": "TCP"}
        return pod(name, busybox("c", "exec sleep 1000", ports=[port]))

    cluster.run(at("one", "127.0.0.1"))
    cluster.create("pods", at("every", "0.0.0.0"))
    waits(cluster, "every", "1 node(s) didn't have free ports for the requested pod ports")
    cluster.delete("pods", "one", grace=1)
    cluster.ready("every")
    cluster.delete("pods", "every", grace=1)


def tolerating(name: str, seconds: int) -> Json:
    return sleeper(name, tolerations=[{"key": "conformance", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}])


@pytest.mark.behaviour("node/taint-cancelled", "node/taint-evicts")
def test_no_execute_evicts_in_time_and_not_when_it_is_taken_back(cluster: Cluster, node_name: str) -> None:
    for made in (tolerating("soon", 1), tolerating("later", 600)):
        cluster.run(made)
    taint = [{"key": "conformance", "value": "x", "effect": "NoExecute"}]
    cluster.patch("nodes", node_name, {"spec": {"taints": taint}}, kind="merge", namespaced=False)
    cluster.gone("pods", "soon")
    assert "deletionTimestamp" not in cluster.pod("later")["metadata"]
    cluster.patch("nodes", node_name, {"spec": {"taints": None}}, kind="merge", namespaced=False)
    told = "Cancelling deletion of Pod"
    eventually(lambda: any(told in each["message"] for each in cluster.events("later")), told)
    assert "deletionTimestamp" not in cluster.pod("later")["metadata"]
    cluster.delete("pods", "later", grace=1)


def test_cordon_drain_and_uncordon(cluster: Cluster, node: Node, node_name: str) -> None:
    program = any_kubectl()
    if program is None:
        pytest.skip("kubectl is not installed")
    kubectl = node.client(program)
    cluster.run(sleeper("drained"))
    kubectl("cordon", node_name)
    cluster.create("pods", sleeper("waiting"))
    waits(cluster, "waiting", "1 node(s) were unschedulable")
    assert "SchedulingDisabled" in kubectl("get", "nodes")
    kubectl("drain", node_name, "--force", "--grace-period=1", "--pod-selector=!other", "--delete-emptydir-data", timeout=120)
    cluster.gone("pods", "drained")
    cluster.create("pods", sleeper("after"))
    kubectl("uncordon", node_name)
    cluster.ready("after")
    for each in cluster.list("pods"):
        cluster.delete("pods", each["metadata"]["name"], grace=1)
