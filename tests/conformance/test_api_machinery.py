"""The API's machinery on a real node: forms of answers, discovery, names, deletions, apply."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, Refused
from tests.conformance.rawapi import ask

Json = dict[str, Any]
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2BETA1 = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
APPLY = "application/apply-patch+yaml"


def configmap(name: str = "", **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name} if name else {}, "data": data}


@pytest.mark.behaviour("machinery/table-406")
def test_forms_of_answers(cluster: Cluster) -> None:
    cluster.create("configmaps", configmap("formed", a="b"))
    table = ask(cluster, "GET", cluster.path("configmaps", "formed"), accept=TABLE).json
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert table["rows"][0]["cells"][:2] == ["formed", 1]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    partial = ask(cluster, "GET", cluster.path("configmaps"), accept=PARTIAL).json
    assert partial["kind"] == "PartialObjectMetadataList"
    assert all("data" not in item for item in partial["items"])
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    refused = ask(cluster, "POST", path, review, accept=TABLE)
    assert (refused.code, refused.json["reason"]) == (406, "NotAcceptable")
    assert "only the following media types are accepted: application/json" in refused.json["message"]
    assert ask(cluster, "POST", path, review, accept=TABLE + ",application/json").code == 201


@pytest.mark.behaviour("machinery/discovery")
def test_discovery(cluster: Cluster) -> None:
    assert ask(cluster, "GET", "/version").json["gitVersion"].startswith("v1.")
    groups = ask(cluster, "GET", "/apis").json["groups"]
    assert len({group["name"] for group in groups}) == len(groups)
    for group in groups:
        for version in group["versions"]:
            found = ask(cluster, "GET", f"/apis/{version['groupVersion']}").json
            assert (found["kind"], found["groupVersion"]) == ("APIResourceList", version["groupVersion"])
            assert found["resources"]
        assert group["preferredVersion"] in group["versions"]
        assert ask(cluster, "GET", f"/apis/{group['name']}").json["kind"] == "APIGroup"
    core = ask(cluster, "GET", "/api/v1").json["resources"]
    pods = next(row for row in core if row["name"] == "pods")
    assert (pods["shortNames"], pods["namespaced"], pods["kind"], pods["singularName"]) == (["po"], True, "Pod", "pod")
    assert set(pods["verbs"]) == {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}


@pytest.mark.behaviour("machinery/aggregated-discovery")
@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_aggregated_discovery(cluster: Cluster, path: str) -> None:
    for accept, version in ((V2, "v2"), (V2BETA1, "v2beta1"), (f"{V2},{V2BETA1},application/json", "v2")):
        answer = ask(cluster, "GET", path, accept=accept)
        assert answer.headers["content-type"] == f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
        assert (answer.json["kind"], answer.json["apiVersion"]) == ("APIGroupDiscoveryList", f"apidiscovery.k8s.io/{version}")
        again = ask(cluster, "GET", path, accept=accept, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.code, again.text) == (304, "")
        served = {
            (group["metadata"].get("name", ""), version_["version"], one["resource"])
            for group in answer.json["items"]
            for version_ in group["versions"]
            for one in version_["resources"]
        }
        for group, group_version, _ in served:
            legacy = ask(cluster, "GET", f"/apis/{group}/{group_version}" if group else f"/api/{group_version}").json["resources"]
            names = {row["name"].partition("/")[0] for row in legacy}
            assert {name for g, v, name in served if (g, v) == (group, group_version)} == names
    plain = ask(cluster, "GET", path)
    assert plain.json["kind"] == ("APIVersions" if path == "/api" else "APIGroupList")


@pytest.mark.behaviour("machinery/generated-names")
def test_generated_names(cluster: Cluster) -> None:
    names = {cluster.create("configmaps", {**configmap(), "metadata": {"generateName": "many-"}})["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith("many-") and len(name) == 10 for name in names)
    long = cluster.create("configmaps", {**configmap(), "metadata": {"generateName": "x" * 80}})["metadata"]["name"]
    assert (len(long), long[:58]) == (63, "x" * 58)
    both = cluster.create("configmaps", {**configmap("named"), "metadata": {"name": "named", "generateName": "other-"}})
    assert both["metadata"]["name"] == "named"


@pytest.mark.behaviour("machinery/delete-options")
def test_deletions(cluster: Cluster) -> None:
    made = cluster.create("configmaps", configmap("kept", a="b"))
    path = cluster.path("configmaps", "kept")
    for options, code, text in (
        ({"propagationPolicy": "Sometimes"}, 422, 'propagationPolicy: Unsupported value: "Sometimes"'),
        ({"propagationPolicy": "Orphan", "orphanDependents": True}, 422, "orphanDependents and deletionPropagation cannot be both set"),
        ({"dryRun": ["Some"]}, 422, 'dryRun: Unsupported value: "Some"'),
        ({"preconditions": {"uid": "other"}}, 409, "Precondition failed: UID in precondition: other"),
        ({"preconditions": {"resourceVersion": "1"}}, 409, "Precondition failed: ResourceVersion in precondition: 1"),
    ):
        answer = ask(cluster, "DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", **options})
        assert (answer.code, text in answer.json["message"]) == (code, True), answer.text
    assert ask(cluster, "DELETE", path, dryRun="All").code == 200
    assert cluster.get("configmaps", "kept")["metadata"]["uid"] == made["metadata"]["uid"]
    cluster.patch("configmaps", "kept", {"metadata": {"finalizers": ["example.com/hold"]}}, kind="merge")
    ask(cluster, "DELETE", path, propagationPolicy="Foreground")
    held = cluster.get("configmaps", "kept")
    assert held["metadata"]["deletionTimestamp"]
    with pytest.raises(Refused, match="no new finalizers can be added"):
        cluster.patch("configmaps", "kept", {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}, kind="merge")
    cluster.patch("configmaps", "kept", {"metadata": {"finalizers": None}}, kind="merge")
    cluster.gone("configmaps", "kept", 10)
    for number in range(3):
        cluster.create("configmaps", {**configmap(f"many{number}"), "metadata": {"name": f"many{number}", "labels": {"n": str(number)}}})
    ask(cluster, "DELETE", cluster.path("configmaps"), labelSelector="n in (0,2)")
    assert [one["metadata"]["name"] for one in cluster.list("configmaps", labelSelector="n")] == ["many1"]


@pytest.mark.behaviour("machinery/conflicts")
def test_optimistic_concurrency(cluster: Cluster) -> None:
    made = cluster.create("configmaps", configmap("shared", a="1"))
    cluster.patch("configmaps", "shared", {"data": {"a": "2"}}, kind="merge")
    with pytest.raises(Refused, match="the object has been modified; please apply your changes to the latest version") as stale:
        cluster.replace("configmaps", {**made, "data": {"a": "3"}})
    assert (stale.value.code, stale.value.reason) == (409, "Conflict")
    with pytest.raises(Refused, match="the object has been modified"):
        cluster.patch(
            "configmaps", "shared", {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"a": "3"}}, kind="merge"
        )
    with pytest.raises(Refused, match="already exists"):
        cluster.create("configmaps", configmap("shared"))


@pytest.mark.behaviour("machinery/apply")
def test_the_kubelet_and_an_applier_share_a_pod(cluster: Cluster) -> None:
    pod: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "shared", "labels": {"a": "1"}},
        "spec": {
            "shareProcessNamespace": True,
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": "busybox:1.28", "command": ["sleep", "1000"]}],
        },
    }
    path = cluster.path("pods", "shared")
    assert ask(cluster, "PATCH", path, pod, media=APPLY, fieldManager="one").code == 201
    live = cluster.ready("shared")
    owners = {(one["manager"], one["operation"], one.get("subresource", "")) for one in live["metadata"]["managedFields"]}
    assert ("one", "Apply", "") in owners
    assert any(operation == "Update" and subresource == "status" for _, operation, subresource in owners)
    kubelet = next(one for one in live["metadata"]["managedFields"] if one.get("subresource") == "status")
    assert 'k:{"type":"Ready"}' in json.dumps(kubelet["fieldsV1"]).replace("\\", "")
    pod["metadata"]["labels"] = {"a": "2"}
    refused = ask(cluster, "PATCH", path, pod, media=APPLY, fieldManager="two")
    assert (refused.code, refused.json["message"]) == (409, 'Apply failed with 1 conflict: conflict with "one": .metadata.labels.a')
    assert ask(cluster, "PATCH", path, pod, media=APPLY, fieldManager="two", force="true").code == 200
    pod["metadata"]["labels"] = {}
    pod["spec"]["containers"][0]["image"] = "nginx"
    refused = ask(cluster, "PATCH", path, pod, media=APPLY, fieldManager="two")
    assert [cause["field"] for cause in refused.json["details"]["causes"]] == ['.spec.containers[name="c"].image']
    pod["spec"]["containers"][0]["image"] = "busybox:1.28"
    after = ask(cluster, "PATCH", path, pod, media=APPLY, fieldManager="two").json
    assert "labels" not in after["metadata"]
    assert after["status"]["phase"] == "Running"
