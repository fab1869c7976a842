"""The example Pods of Kubernetes' documentation that are about where Pods go and what they keep: one node, as they are written for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, condition, statuses
from tests.e2e.cluster import busybox, nginx, pod

Json = dict[str, Any]

ZONE = "topology.kubernetes.io/zone"


@pytest.fixture(scope="module")
def here(cluster: Cluster) -> Iterator[Cluster]:
    """The node with the labels that the pages give it."""
    (node,) = cluster.list("nodes", namespaced=False)
    labels: dict[str, str | None] = {"disktype": "ssd", ZONE: "antarctica-east1", "label-1": "key-1", "zone": "zoneA", "node": "node1"}
    cluster.patch("nodes", node["metadata"]["name"], {"metadata": {"labels": labels}}, kind="merge", namespaced=False)
    yield cluster
    gone = {"metadata": {"labels": dict.fromkeys(labels)}}
    cluster.patch("nodes", node["metadata"]["name"], gone, kind="merge", namespaced=False)


def labelled(name: str, labels: dict[str, str], **spec: Any) -> Json:
    made = pod(name, {"name": "c", "image": "static-web"}, **spec)
    made["metadata"]["labels"] = labels
    return made


def expression(key: str, *values: str, operator: str = "In") -> Json:
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}


def node_affinity(*terms: Json, preferred: list[Json] | None = None) -> Json:
    affinity: Json = {"preferredDuringSchedulingIgnoredDuringExecution": preferred} if preferred else {}
    if terms:
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": affinity}


def waits(cluster: Cluster, name: str, why: str) -> None:
    cluster.until(name, lambda each: condition(each, "PodScheduled") == "False", "waits for a place")
    assert why in cluster.event(name, "FailedScheduling")["message"]
    cluster.delete("pods", name, grace=0)


@pytest.mark.behaviour("examples/pod-nginx", "examples/pod-nginx-specific-node")
def test_by_selector_and_by_name(here: Cluster) -> None:
    (node,) = here.list("nodes", namespaced=False)
    here.run(labelled("selected", {"env": "test"}, nodeSelector={"disktype": "ssd"}))
    here.run(pod("named", nginx("c"), nodeName=node["metadata"]["name"]))
    here.create("pods", labelled("nowhere", {}, nodeSelector={"disktype": "tape"}))
    waits(here, "nowhere", "didn't match Pod's node affinity/selector")


@pytest.mark.behaviour(
    "examples/pod-nginx-required-affinity",
    "examples/pod-nginx-preferred-affinity",
    "examples/pod-with-node-affinity",
    "examples/pod-with-affinity-preferred-weight",
    "examples/assigning-pods-to-nodes-affinity",
)
def test_by_affinity_to_nodes(here: Cluster) -> None:
    prefer = [{"weight": 1, "preference": expression("disktype", "ssd")}, {"weight": 50, "preference": expression("label-2", "key-2")}]
    here.run(labelled("required", {}, affinity=node_affinity(expression("disktype", "ssd"))))
    here.run(labelled("preferred", {}, affinity=node_affinity(preferred=prefer)))
    zones = expression(ZONE, "antarctica-east1", "antarctica-west1")
    here.run(labelled("zoned", {}, affinity=node_affinity(zones, preferred=prefer)))
    here.create("pods", labelled("elsewhere", {}, affinity=node_affinity(expression(ZONE, "antarctica-west1"))))
    waits(here, "elsewhere", "didn't match Pod's node affinity/selector")


@pytest.mark.behaviour("examples/pod-with-pod-affinity", "examples/pod-with-affinity-anti-affinity")
def test_by_affinity_to_other_pods(here: Cluster) -> None:
    near = {"labelSelector": expression("security", "S1"), "topologyKey": ZONE}
    far = {"weight": 100, "podAffinityTerm": {"labelSelector": expression("security", "S2"), "topologyKey": ZONE}}
    affinity = {
        "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near]},
        "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [far]},
    }
    here.create("pods", labelled("lonely", {}, affinity=affinity))
    here.until("lonely", lambda each: condition(each, "PodScheduled") == "False", "waits for a neighbour")
    here.run(labelled("neighbour", {"security": "S1"}))
    here.ready("lonely")
    never = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near]}}
    here.create("pods", labelled("apart", {}, affinity=never))
    waits(here, "apart", "didn't match pod anti-affinity rules")


@pytest.mark.behaviour("examples/pod-with-toleration")
def test_by_toleration(here: Cluster) -> None:
    (node,) = here.list("nodes", namespaced=False)
    name = node["metadata"]["name"]
    here.patch("nodes", name, {"spec": {"taints": [{"key": "example-key", "effect": "NoSchedule"}]}}, kind="merge", namespaced=False)
    try:
        here.create("pods", labelled("plain", {}))
        waits(here, "plain", "had untolerated taint")
        tolerated = [{"key": "example-key", "operator": "Exists", "effect": "NoSchedule"}]
        here.run(labelled("tolerant", {"env": "test"}, tolerations=tolerated))
    finally:
        here.patch("nodes", name, {"spec": {"taints": None}}, kind="merge", namespaced=False)


@pytest.mark.behaviour(
    "examples/topology-spread-constraints-one-constraint",
    "examples/topology-spread-constraints-two-constraints",
    "examples/topology-spread-constraints-one-constraint-with-nodeaffinity",
)
def test_by_spread(here: Cluster) -> None:
    """One node is one domain: a skew of one is never passed."""

    def spread(key: str) -> Json:
        selector = {"matchLabels": {"foo": "bar"}}
        return {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}

    here.run(labelled("one", {"foo": "bar"}, topologySpreadConstraints=[spread("zone")]))
    here.run(labelled("two", {"foo": "bar"}, topologySpreadConstraints=[spread("zone"), spread("node")]))
    apart = node_affinity(expression("zone", "zoneC", operator="NotIn"))
    here.run(labelled("three", {"foo": "bar"}, topologySpreadConstraints=[spread("zone")], affinity=apart))
    here.create("pods", labelled("none", {"foo": "bar"}, topologySpreadConstraints=[spread("rack")]))
    waits(here, "none", "didn't match pod topology spread constraints (missing required label)")


@pytest.mark.behaviour("examples/storage-pv-pod", "examples/storage-pv-duplicate", "examples/storage-pv-pod-backup")
def test_a_claim_that_outlives_its_pod(cluster: Cluster) -> None:
    """With the class `standard`, which makes the volume; the page's are made by hand."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "3Gi"}}}
    cluster.create("persistentvolumeclaims", {"metadata": {"name": "task-pv-claim"}, "spec": spec})
    volumes = [{"name": "storage", "persistentVolumeClaim": {"claimName": "task-pv-claim"}}]
    mounts = [{"name": "storage", "mountPath": "/data"}]
    cluster.run(
        pod(
            "writer",
            busybox("c", "mkdir /data/html; echo kept > /data/html/index.html; exec sleep 1000", volumeMounts=mounts),
            volumes=volumes,
        )
    )
    cluster.delete("pods", "writer", grace=0)
    cluster.gone("pods", "writer")
    page = {"name": "storage", "mountPath": "/usr/share/nginx/html", "subPath": "html"}
    cluster.run(pod("task-pv-pod", nginx("c", volumeMounts=[page], ports=[{"containerPort": 80}]), volumes=volumes))
    assert cluster.sh("task-pv-pod", "c", "wget -q -O - http://localhost") == "kept"


@pytest.mark.behaviour("examples/storage-redis")
def test_a_directory_that_goes_with_its_pod(cluster: Cluster) -> None:
    """With a shell in redis' place: what it writes stays through a restart of the container."""
    loop = 'trap "exit 0" TERM; while :; do sleep 0.2; done'
    container = busybox("redis", loop, volumeMounts=[{"name": "data", "mountPath": "/data/redis"}])
    cluster.run(pod("redis", container, volumes=[{"name": "data", "emptyDir": {}}]))
    cluster.sh("redis", "redis", "echo Hello > /data/redis/test-file; kill 1")
    cluster.until("redis", lambda each: statuses(each)["redis"]["restartCount"] == 1, "was restarted")
    cluster.ready("redis")
    assert cluster.sh("redis", "redis", "cat /data/redis/test-file") == "Hello"


@pytest.mark.behaviour("examples/image-volumes", "examples/image-volumes-subpath")
def test_an_image_as_a_volume(cluster: Cluster) -> None:
    volume = {"name": "volume", "image": {"reference": "static-web", "pullPolicy": "IfNotPresent"}}
    mounts = [{"name": "volume", "mountPath": "/volume"}, {"name": "volume", "mountPath": "/page", "subPath": "www"}]
    cluster.run(pod("image-volume", busybox("shell", "exec sleep 1000", volumeMounts=mounts), volumes=[volume]))
    assert cluster.sh("image-volume", "shell", "cat /volume/www/index.html") == cluster.sh("image-volume", "shell", "cat /page/index.html")
