"""RuntimeClasses: admission, overhead, the API itself, handlers that the node has and has not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused
from tests.conformance.life import life
from tests.e2e.cluster import busybox, pod

Json = dict[str, Any]
CLASSES = "node.k8s.io/v1/runtimeclasses"


def runtime_class(name: str, handler: str, **fields: Any) -> Json:
    return {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": handler, **fields}


@pytest.fixture(scope="module")
def handler(cluster: Cluster) -> Iterator[str]:
    """The handler of the runtime that the node uses, by the name that its version has."""
    runtime = cluster.list("nodes", namespaced=False)[0]["status"]["nodeInfo"]["containerRuntimeVersion"]
    assert runtime.startswith("polong://")
    yield "crun"
    for each in cluster.list(CLASSES, namespaced=False):
        cluster.delete(CLASSES, each["metadata"]["name"], namespaced=False)


def sleeper(name: str, **spec: Any) -> Json:
    return pod(name, busybox("c", "exec sleep 1000"), **spec)


@pytest.mark.behaviour("runtimeclass/missing", "runtimeclass/deleted")
def test_a_class_that_is_not_there_forbids_the_pod(cluster: Cluster, handler: str) -> None:
    with pytest.raises(Refused) as refused:
        cluster.create("pods", sleeper("missing", runtimeClassName="nope"))
    assert (refused.value.code, refused.value.reason) == (403, "Forbidden")
    assert 'RuntimeClass "nope" not found' in refused.value.message
    cluster.create(CLASSES, runtime_class("shortlived", handler), namespaced=False)
    cluster.delete(CLASSES, "shortlived", namespaced=False)
    with pytest.raises(Refused) as refused:
        cluster.create("pods", sleeper("deleted", runtimeClassName="shortlived"))
    assert refused.value.code == 403


@pytest.mark.behaviour("runtimeclass/no-overhead", "runtimeclass/overhead")
def test_pods_of_a_class_run_with_its_handler_and_overhead(cluster: Cluster, handler: str) -> None:
    overhead = {"cpu": "10m", "memory": "1Mi"}
    cluster.create(CLASSES, runtime_class("plain", handler), namespaced=False)
    cluster.create(CLASSES, runtime_class("heavy", handler, overhead={"podFixed": overhead}), namespaced=False)
    assert "overhead" not in cluster.run(sleeper("plain", runtimeClassName="plain"))["spec"]
    assert cluster.run(sleeper("heavy", runtimeClassName="heavy"))["spec"]["overhead"] == overhead


@pytest.mark.behaviour("runtimeclass/unknown-handler")
def test_an_unknown_handler_keeps_the_pod_pending(cluster: Cluster, handler: str) -> None:
    cluster.create(CLASSES, runtime_class("strange", "no-such-handler"), namespaced=False)
    cluster.create("pods", sleeper("strange", runtimeClassName="strange"))
    event = cluster.event("strange", "FailedCreatePodSandBox")
    assert event["type"] == "Warning"
    assert "no-such-handler" in event["message"]
    assert cluster.pod("strange")["status"]["phase"] == "Pending"


@pytest.mark.behaviour("runtimeclass/api")
def test_the_api_of_runtime_classes(cluster: Cluster) -> None:
    groups = {group["name"]: group for group in cluster.request("GET", "/apis")["groups"]}
    assert groups["node.k8s.io"]["preferredVersion"]["groupVersion"] == "node.k8s.io/v1"
    assert cluster.request("GET", "/apis/node.k8s.io")["name"] == "node.k8s.io"
    resources = {each["name"] for each in cluster.request("GET", "/apis/node.k8s.io/v1")["resources"]}
    assert "runtimeclasses" in resources

    def annotate(obj: Json) -> None:
        obj["overhead"] = {"podFixed": {"cpu": "1m"}}

    life(cluster, CLASSES, runtime_class("", "crun"), annotate, namespaced=False)
