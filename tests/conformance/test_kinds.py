"""Kinds whose behaviour is that they are kept: ConfigMaps, Secrets, PodTemplates, ServiceAccounts, other Nodes, namespaces and the CA."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused
from tests.conformance.life import life
from tests.e2e.cluster import busybox, eventually, pod

Json = dict[str, Any]


@pytest.mark.behaviour("environment/configmap-lifecycle", "environment/configmap-update", "environment/configmap-empty-key")
def test_config_maps(cluster: Cluster) -> None:
    def change(obj: Json) -> None:
        obj["data"] = {"k": "changed"}

    life(cluster, "configmaps", {"data": {"k": "v"}}, change)
    with pytest.raises(Refused) as refused:
        cluster.create("configmaps", {"metadata": {"name": "empty-key"}, "data": {"": "v"}})
    assert (refused.value.code, refused.value.reason) == (422, "Invalid")
    cluster.create("configmaps", {"metadata": {"name": "everywhere", "labels": {"of": cluster.namespace}}})
    everywhere = cluster.request("GET", "/api/v1/configmaps", labelSelector=f"of={cluster.namespace}")["items"]
    assert [each["metadata"]["name"] for each in everywhere] == ["everywhere"]


@pytest.mark.behaviour("environment/secret-lifecycle", "environment/secret-empty-key")
def test_secrets(cluster: Cluster) -> None:
    def change(obj: Json) -> None:
        obj["data"] = {"k": "Y2hhbmdlZA=="}

    life(cluster, "secrets", {"stringData": {"k": "v"}}, change)
    with pytest.raises(Refused) as refused:
        cluster.create("secrets", {"metadata": {"name": "empty-key"}, "data": {"": "dg=="}})
    assert refused.value.code == 422


@pytest.mark.behaviour("node/podtemplates")
def test_pod_templates(cluster: Cluster) -> None:
    def change(obj: Json) -> None:
        obj["template"]["spec"]["containers"][0]["image"] = "busybox:other"

    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "busybox:1.28"}]}}
    life(cluster, "podtemplates", {"template": template}, change)


@pytest.mark.behaviour("serviceaccounts/lifecycle")
def test_service_accounts(cluster: Cluster) -> None:
    def change(obj: Json) -> None:
        obj["automountServiceAccountToken"] = False

    life(cluster, "serviceaccounts", {}, change)


@pytest.mark.behaviour("serviceaccounts/root-ca")
def test_the_ca_is_in_every_namespace_and_comes_back(cluster: Cluster) -> None:
    name = "kube-root-ca.crt"
    first = cluster.get("configmaps", name)
    assert first["data"]["ca.crt"].startswith("-----BEGIN CERTIFICATE-----")
    cluster.delete("configmaps", name)

    def again() -> bool:
        try:
            return bool(cluster.get("configmaps", name)["metadata"]["uid"] != first["metadata"]["uid"])
        except Refused:
            return False

    eventually(again, "made again")
    cluster.patch("configmaps", name, {"data": {"ca.crt": "mine", "more": "x"}}, kind="merge")
    eventually(lambda: cluster.get("configmaps", name)["data"] == first["data"], "mended")


@pytest.mark.behaviour("node/fake-node")
def test_another_node_is_an_object_like_any(cluster: Cluster) -> None:
    def change(obj: Json) -> None:
        obj["spec"]["unschedulable"] = True

    with_taint = {"spec": {"taints": [{"key": "fake", "effect": "NoSchedule"}]}}
    made = cluster.create("nodes", {"metadata": {"name": "fake"}, **with_taint}, namespaced=False)
    try:
        assert made["spec"]["taints"][0]["key"] == "fake"
        patched = cluster.patch("nodes", "fake", {"metadata": {"labels": {"a": "b"}}}, namespaced=False)
        assert patched["metadata"]["labels"] == {"a": "b"}
        ready = {"status": {"conditions": [{"type": "Fake", "status": "True"}]}}
        cluster.patch("nodes", "fake", ready, "status", namespaced=False)
        found = cluster.get("nodes", "fake", namespaced=False)
        assert found["status"]["conditions"][0]["type"] == "Fake"
        # Pods still run on the real one.
        made = cluster.run(pod("beside", busybox("c", "exec sleep 1000")))
        assert made["spec"]["nodeName"] != "fake"
    finally:
        cluster.delete("nodes", "fake", namespaced=False)
    cluster.gone("nodes", "fake", namespaced=False)


def namespace(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


@pytest.mark.behaviour("machinery/namespace-finalize")
def test_a_namespace_waits_for_its_finalizers(cluster: Cluster) -> None:
    name = "c-finalized"
    cluster.create("namespaces", namespace(name), namespaced=False)
    held = cluster.get("namespaces", name, namespaced=False)
    held["spec"]["finalizers"].append("example.com/held")
    cluster.replace("namespaces", held, "finalize", namespaced=False)
    status = {"status": {"conditions": [{"type": "Mine", "status": "True"}]}}
    patched = cluster.patch("namespaces", name, status, "status", kind="merge", namespaced=False)
    assert patched["status"]["conditions"][0]["type"] == "Mine"
    cluster.delete("namespaces", name, namespaced=False)

    def only_ours() -> bool:
        found = cluster.get("namespaces", name, namespaced=False)
        return bool(found["status"]["phase"] == "Terminating" and found["spec"].get("finalizers") == ["example.com/held"])

    eventually(only_ours, "waits for the finalizer alone")
    freed = cluster.get("namespaces", name, namespaced=False)
    freed["spec"]["finalizers"] = []
    cluster.replace("namespaces", freed, "finalize", namespaced=False)
    cluster.gone("namespaces", name, namespaced=False)


@pytest.mark.behaviour("machinery/ordered-deletion")
def test_a_namespace_s_pods_go_first_and_finalizers_are_waited_for(cluster: Cluster) -> None:
    other = Cluster(cluster.kubeconfig, "c-ordered")
    other.create("namespaces", namespace(other.namespace), namespaced=False)
    try:
        other.create("configmaps", {"metadata": {"name": "needed"}, "data": {"k": "v"}})
        other.create("configmaps", {"metadata": {"name": "held", "finalizers": ["example.com/held"]}})
        script = "trap 'sleep 1; exit' TERM; while :; do sleep 0.1; done"
        slow = pod("slow", busybox("c", script), terminationGracePeriodSeconds=20)
        other.run(slow)
        other.delete("namespaces", other.namespace, namespaced=False)
        other.until("slow", lambda each: "deletionTimestamp" in each["metadata"], "is being deleted")
        assert other.get("configmaps", "needed")["data"] == {"k": "v"}
        with pytest.raises(Refused) as refused:
            other.create("configmaps", {"metadata": {"name": "late"}})
        assert (refused.value.code, refused.value.causes[0]["reason"]) == (403, "NamespaceTerminating")
        other.gone("pods", "slow")
        other.gone("configmaps", "needed")

        def remaining() -> bool:
            conditions = other.get("namespaces", other.namespace, namespaced=False)["status"].get("conditions", [])
            return any(each["type"] == "NamespaceFinalizersRemaining" and each["status"] == "True" for each in conditions)

        eventually(remaining, "says what it waits for")
        other.patch("configmaps", "held", {"metadata": {"finalizers": None}}, kind="merge")
        other.gone("namespaces", other.namespace, namespaced=False)
    finally:
        other.close()
