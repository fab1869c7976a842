"""Resources of a Pod as a whole (KEP-2837) on real cgroups."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused, condition, statuses
from tests.conformance.test_resize import MI, kernel
from tests.e2e.cluster import Node, busybox, eventually, pod

Json = dict[str, Any]


def whole(name: str, *containers: Json, requests: Json | None = None, limits: Json | None = None, **spec: Any) -> Json:
    resources = {part: amounts for part, amounts in (("requests", requests), ("limits", limits)) if amounts}
    return pod(name, *(containers or (busybox("c", "exec sleep 1000"),)), resources=resources, **spec)


@pytest.mark.behaviour("pod-resources/cgroups", "pod-resources/downward", "pod-resources/resize")
def test_the_pods_own_limits(cluster: Cluster, node: Node) -> None:
    asked = {"resourceFieldRef": {"resource": "limits.memory"}}
    bare = busybox("bare", "exec sleep 1000", env=[{"name": "MOST", "valueFrom": asked}])
    sized = busybox("sized", "exec sleep 1000", resources={"requests": {"cpu": "20m"}, "limits": {"cpu": "50m", "memory": "16Mi"}})
    made = cluster.run(whole("whole", bare, sized, limits={"cpu": "200m", "memory": "64Mi"}))
    # What containers request together, else the limit.
    assert made["spec"]["resources"]["requests"] == {"cpu": "20m", "memory": "16Mi"}
    assert made["status"]["qosClass"] == "Burstable"
    assert made["status"]["resources"] == made["spec"]["resources"]
    assert kernel(node, made) == (20, 20_000, 64 * MI)
    assert kernel(node, made, "bare") == (2, 20_000, 64 * MI)
    assert kernel(node, made, "sized") == (20, 5_000, 16 * MI)
    assert statuses(made)["bare"]["resources"] == {}
    assert cluster.sh("whole", "bare", "echo $MOST") == str(64 * MI)
    change = {"spec": {"resources": {"requests": {"cpu": "30m"}, "limits": {"cpu": "400m", "memory": "96Mi"}}}}
    cluster.patch("pods", "whole", change, "resize")
    found = cluster.until("whole", lambda seen: seen["status"].get("resources") == seen["spec"]["resources"], "is resized")
    assert kernel(node, found) == (30, 40_000, 96 * MI)
    eventually(lambda: kernel(node, found, "bare") == (2, 40_000, 96 * MI), "who has no limit follows")
    assert kernel(node, found, "sized") == (20, 5_000, 16 * MI)
    assert {each["restartCount"] for each in found["status"]["containerStatuses"]} == {0}


@pytest.mark.behaviour("pod-resources/cgroups")
def test_quality_of_service_is_the_pods(cluster: Cluster) -> None:
    both = {"cpu": "50m", "memory": "16Mi"}
    made = cluster.create("pods", whole("guaranteed", limits=both))
    assert made["spec"]["resources"] == {"limits": both, "requests": both}
    assert made["status"]["qosClass"] == "Guaranteed"
    assert cluster.create("pods", whole("burstable", requests={"cpu": "10m"}))["status"]["qosClass"] == "Burstable"
    path = cluster.ready("guaranteed")
    assert path["status"]["qosClass"] == "Guaranteed"


@pytest.mark.behaviour("examples/resource-pod-level-resize")
def test_who_has_its_pods_limits_is_restarted_where_it_asks_for_that(cluster: Cluster, node: Node) -> None:
    again = [{"resourceName": name, "restartPolicy": "RestartContainer"} for name in ("cpu", "memory")]
    own = busybox("pause", "exec sleep 1000", resources={"requests": {"cpu": "100m", "memory": "100Mi"}})
    own["resizePolicy"] = [{"resourceName": "cpu", "restartPolicy": "NotRequired"}, again[1]]
    server = {"name": "nginx-server", "image": "nginx", "resizePolicy": again}
    both = {"cpu": "200m", "memory": "200Mi"}
    made = cluster.run(whole("demo", own, server, requests=both, limits=both))
    assert made["status"]["qosClass"] == "Guaranteed"
    more = {"cpu": "300m", "memory": "200Mi"}
    cluster.patch("pods", "demo", {"spec": {"resources": {"requests": more, "limits": more}}}, "resize")
    cluster.until("demo", lambda seen: statuses(seen)["nginx-server"]["restartCount"], "is restarted")
    found = cluster.ready("demo")
    assert {name: each["restartCount"] for name, each in statuses(found).items()} == {"pause": 0, "nginx-server": 1}
    assert kernel(node, found)[1:] == (30_000, 200 * MI)
    assert kernel(node, found, "nginx-server")[1:] == kernel(node, found, "pause")[1:] == (30_000, 200 * MI)


@pytest.mark.behaviour("pod-resources/oom")
def test_all_containers_together_stay_below_the_pods_memory(cluster: Cluster) -> None:
    # Each alone would have room; together they have not.
    containers = [busybox(name, "exec tail -c 20000000 /dev/zero") for name in ("a", "b")]
    cluster.create("pods", whole("full", *containers, limits={"memory": "32Mi"}, restartPolicy="Never", shareProcessNamespace=True))

    def killed(found: Json) -> bool:
        ended = [(each["state"].get("terminated") or {}) for each in found["status"].get("containerStatuses") or ()]
        return any((each.get("reason"), each.get("exitCode")) == ("OOMKilled", 137) for each in ended)

    found = cluster.until("full", killed, "the kernel ends one of them")
    cluster.delete("pods", "full", grace=0)
    # The other has room now, and /pause is never the victim.
    assert sum("running" in each["state"] for each in found["status"]["containerStatuses"]) == 1


@pytest.mark.behaviour("pod-resources/fit")
def test_what_does_not_fit_waits_and_quotas_count_it(cluster: Cluster) -> None:
    cores = int(cluster.list("nodes", namespaced=False)[0]["status"]["allocatable"]["cpu"])
    cluster.create("pods", whole("huge", requests={"cpu": str(cores + 1)}))
    cluster.until("huge", lambda seen: condition(seen, "PodScheduled") == "False", "waits for a place")
    cluster.delete("pods", "huge", grace=0)
    cluster.create("resourcequotas", {"metadata": {"name": "room"}, "spec": {"hard": {"requests.memory": "100Mi"}}})
    try:
        with pytest.raises(Refused) as refused:
            cluster.create("pods", whole("greedy", requests={"memory": "200Mi"}))
        assert (refused.value.code, "exceeded quota: room, requested: requests.memory=200Mi" in refused.value.message) == (403, True)
    finally:
        cluster.delete("resourcequotas", "room")


@pytest.mark.behaviour("pod-resources/refused")
def test_refusals(cluster: Cluster) -> None:
    two = [busybox(name, "true", resources={"requests": {"cpu": "60m"}, "limits": {"cpu": "80m"}}) for name in ("a", "b")]
    for body, message in (
        (whole("x", *two, requests={"cpu": "100m"}),
         'spec.resources.requests[cpu]: Invalid value: "100m": must be greater than or equal to aggregate container requests of 120m'),
        (whole("x", *two, limits={"cpu": "70m"}, requests={"cpu": "120m"}), "must be less than or equal to cpu limit of 70m"),
        (whole("x", two[0], limits={"cpu": "70m"}), "must be less than or equal to pod limits of 70m"),
        (whole("x", limits={"ephemeral-storage": "1Gi"}), 'spec.resources.limits[ephemeral-storage]: Unsupported value: '),
    ):  # fmt: skip
        with pytest.raises(Refused) as refused:
            cluster.create("pods", body)
        assert (refused.value.code, message in refused.value.message) == (422, True), refused.value
