"""Pods through the door: defaults, Kubernetes' refusals word for word, updates, graceful deletion."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from .conftest import Api, pod

POD = "/api/v1/namespaces/default/pods/p"
PODS = "/api/v1/namespaces/default/pods"
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}
MERGE = {"content-type": "application/merge-patch+json"}
JSON_PATCH = {"content-type": "application/json-patch+json"}


async def test_defaults(api: Api) -> None:
    made = await api.create(pod(automountServiceAccountToken=False))
    assert made["metadata"]["generation"] == 1
    assert made["metadata"]["creationTimestamp"] == "2026-01-02T03:04:05Z"
    spec = made["spec"]
    expected = {
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "terminationGracePeriodSeconds": 30,
        "securityContext": {},
        "enableServiceLinks": True,
        "nodeName": "n1",
        "priority": 0,
    }
    assert {name: spec[name] for name in expected} == expected
    assert "shareProcessNamespace" not in spec
    container = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"}
    assert spec["containers"] == [{"name": "c", "image": "nginx", "resources": {}, **container}]
    assert made["status"]["phase"] == "Pending"
    assert made["status"]["qosClass"] == "BestEffort"
    assert [(one["type"], one["status"]) for one in made["status"]["conditions"]] == [("PodScheduled", "True")]


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1", "IfNotPresent"),
        ("reg:5000/nginx", "Always"),
        ("reg:5000/nginx:2", "IfNotPresent"),
        ("nginx@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
async def test_pull_policy(api: Api, image: str, policy: str) -> None:
    made = await api.create(pod(containers=[{"name": "c", "image": image}]))
    assert made["spec"]["containers"][0]["imagePullPolicy"] == policy


async def test_qos_and_requests_from_limits(api: Api) -> None:
    made = await api.create(pod(containers=[{"name": "c", "image": "x", "resources": {"limits": {"cpu": "1000m", "memory": "64Mi"}}}]))
    assert made["status"]["qosClass"] == "Guaranteed"
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1", "memory": "64Mi"}


def container(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c", "image": "x", **fields}]}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"shareProcessNamespace": True, "hostPID": True},
            "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
        ),
        ({"containers": []}, "spec.containers: Required value"),
        ({"containers": [{"name": "c"}]}, "spec.containers[0].image: Required value"),
        ({"containers": [{"image": "x"}]}, "spec.containers[0].name: Required value"),
        ({"containers": [{"name": "c", "image": "x"}] * 2}, 'spec.containers[1].name: Duplicate value: "c"'),
        ({"containers": [{"name": "A_b", "image": "x"}]}, 'spec.containers[0].name: Invalid value: "A_b": a lowercase RFC 1123 label'),
        (
            {"restartPolicy": "Sometimes"},
            'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
        ),
        (container(imagePullPolicy="x"), 'spec.containers[0].imagePullPolicy: Unsupported value: "x"'),
        (
            container(ports=[{"containerPort": 70000}]),
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535",
        ),
        (container(volumeMounts=[{"name": "v", "mountPath": "/x"}]), 'spec.containers[0].volumeMounts[0].name: Not found: "v"'),
        (container(env=[{"value": "x"}]), "spec.containers[0].env[0].name: Required value"),
        (
            container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        (
            container(securityContext={"privileged": True, "allowPrivilegeEscalation": False}),
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]}, "must not contain '..'"),
        (
            {"os": {"name": "windows"}, "shareProcessNamespace": False},
            "spec.shareProcessNamespace: Forbidden: cannot be set for a windows pod",
        ),
        ({"ephemeralContainers": [{"name": "e", "image": "x"}]}, "spec.ephemeralContainers: Forbidden: cannot be set on create"),
        (
            {"hostNetwork": True, **container(ports=[{"containerPort": 80, "hostPort": 81}])},
            "must match `containerPort` when `hostNetwork` is true",
        ),
        ({"dnsPolicy": "None"}, "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"),
        # Not there yet: refused by name, never ignored.
        ({"nodeName": "elsewhere"}, "spec.nodeName: Invalid value"),
    ],
)
async def test_refusals(api: Api, spec: dict[str, Any], message: str) -> None:
    code, status = await api("POST", PODS, pod(**spec))
    assert (code, status["reason"]) == (422, "Invalid")
    assert message in status["message"]
    assert status["message"].startswith('Pod "p" is invalid: ')
    assert status["details"]["causes"]
    assert (await api("GET", POD))[0] == 404


async def test_one_cause_reads_as_in_kubernetes(api: Api) -> None:
    _, status = await api("POST", PODS, pod(shareProcessNamespace=True, hostPID=True))
    assert status["details"] == {
        "name": "p",
        "kind": "Pod",
        "causes": [
            {
                "reason": "FieldValueInvalid",
                "message": "Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
                "field": "spec.securityContext.shareProcessNamespace",
            }
        ],
    }


async def test_explicit_false_is_kept_and_accepted_with_host_pid(api: Api) -> None:
    made = await api.create(pod(shareProcessNamespace=False, hostPID=True))
    assert made["spec"]["shareProcessNamespace"] is False


async def test_field_validation(api: Api) -> None:
    body = pod(foo=1)
    code, status = await api("POST", PODS, body, fieldValidation="Strict")
    assert code == 400
    assert 'strict decoding error: unknown field "spec.foo"' in status["message"]
    response = await api.respond("POST", PODS, body)
    assert response.headers["Warning"] == '299 - "unknown field \\"spec.foo\\""'
    await api("DELETE", POD, gracePeriodSeconds="0")
    assert "Warning" not in (await api.respond("POST", PODS, body, fieldValidation="Ignore")).headers


async def test_dry_run_stores_nothing(api: Api) -> None:
    code, made = await api("POST", PODS, pod(), dryRun="All")
    assert (code, made["spec"]["dnsPolicy"]) == (201, "ClusterFirst")
    assert (await api("GET", POD))[0] == 404
    assert (await api("POST", PODS, pod(), dryRun="Some"))[0] == 422


async def test_generated_names(api: Api) -> None:
    body = pod()
    body["metadata"] = {"generateName": "web-"}
    names = {(await api.create(deepcopy(body)))["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("web-") and len(name) == 9 for name in names)


async def test_creation_where_it_cannot_be(api: Api) -> None:
    code, status = await api("POST", "/api/v1/namespaces/nowhere/pods", pod())
    assert (code, status["message"]) == (404, 'namespaces "nowhere" not found')
    await api.create(pod())
    code, status = await api("POST", PODS, pod())
    assert (code, status["reason"], status["message"]) == (409, "AlreadyExists", 'pods "p" already exists')
    body = pod("q")
    body["metadata"]["namespace"] = "other"
    assert (await api("POST", PODS, body))[0] == 400


async def test_only_images_may_change(api: Api) -> None:
    made = await api.create(pod())
    code, after = await api("PATCH", POD, {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}, headers=STRATEGIC)
    assert (code, after["metadata"]["generation"]) == (200, 2)
    code, status = await api("PATCH", POD, {"spec": {"shareProcessNamespace": True}}, headers=MERGE)
    assert code == 422
    assert "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`" in status["message"]
    stale = {**deepcopy(made), "metadata": {**made["metadata"], "labels": {"a": "b"}}}
    code, status = await api("PUT", POD, stale)
    assert (code, status["reason"]) == (409, "Conflict")
    assert "the object has been modified; please apply your changes to the latest version and try again" in status["message"]


async def test_nothing_changed_is_no_write(api: Api) -> None:
    made = await api.create(pod())
    before = await api.storage.revision()
    code, after = await api("PATCH", POD, {"metadata": {}}, headers=MERGE)
    assert (code, after["metadata"]["resourceVersion"]) == (200, made["metadata"]["resourceVersion"])
    assert await api.storage.revision() == before


async def test_patches_by_media_type(api: Api) -> None:
    await api.create(pod())
    _, after = await api("PATCH", POD, {"metadata": {"labels": {"a": "b"}}}, headers=MERGE)
    assert after["metadata"]["labels"] == {"a": "b"}
    _, after = await api("PATCH", POD, [{"op": "add", "path": "/metadata/labels/c", "value": "d"}], headers=JSON_PATCH)
    assert after["metadata"]["labels"] == {"a": "b", "c": "d"}
    code, _ = await api("PATCH", POD, [{"op": "test", "path": "/metadata/labels/c", "value": "x"}], headers=JSON_PATCH)
    assert code == 422
    code, status = await api("PATCH", POD, {}, headers={"content-type": "application/cbor"})
    assert (code, status["reason"]) == (415, "UnsupportedMediaType")
    assert (await api("PATCH", POD, {}, headers={"content-type": "text/plain"}))[0] == 415


async def test_status_and_spec_have_doors_of_their_own(api: Api) -> None:
    await api.create(pod())
    patch = {"status": {"phase": "Running"}, "spec": {"hostPID": True}}
    code, after = await api("PATCH", POD + "/status", patch, headers=MERGE)
    assert (code, after["status"]["phase"], after["status"]["qosClass"]) == (200, "Running", "BestEffort")
    assert "hostPID" not in after["spec"]
    assert after["metadata"]["generation"] == 1
    _, after = await api("PATCH", POD, {"status": {"phase": "Failed"}}, headers=MERGE)
    assert after["status"]["phase"] == "Running"


async def test_a_status_patch_with_another_uid_is_a_conflict(api: Api) -> None:
    await api.create(pod())
    code, status = await api("PATCH", POD + "/status", {"metadata": {"uid": "other"}, "status": {"phase": "Running"}}, headers=MERGE)
    assert (code, status["reason"]) == (409, "Conflict")


async def test_graceful_deletion(api: Api) -> None:
    made = await api.create(pod())
    code, marked = await api("DELETE", POD, {"propagationPolicy": "Background"})
    assert (code, marked["kind"]) == (200, "Pod")
    assert marked["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:35Z"
    assert (marked["metadata"]["deletionGracePeriodSeconds"], marked["metadata"]["generation"]) == (30, 2)
    # Longer or equal changes nothing, shorter shortens.
    assert (await api("DELETE", POD))[1]["metadata"] == marked["metadata"]
    _, shorter = await api("DELETE", POD, gracePeriodSeconds="5")
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    code, status = await api("DELETE", POD, {"gracePeriodSeconds": 0, "preconditions": {"uid": "wrong"}})
    assert (code, status["reason"]) == (409, "Conflict")
    code, gone = await api("DELETE", POD, {"gracePeriodSeconds": 0, "preconditions": {"uid": made["metadata"]["uid"]}})
    assert (code, gone["metadata"]["name"]) == (200, "p")
    assert (await api("GET", POD))[0] == 404
    assert (await api("DELETE", POD))[0] == 404


async def test_grace_that_is_none(api: Api) -> None:
    await api.create(pod(terminationGracePeriodSeconds=-5))
    assert (await api("GET", POD))[1]["spec"]["terminationGracePeriodSeconds"] == 1
    await api("PATCH", POD + "/status", {"status": {"phase": "Succeeded"}}, headers=MERGE)
    await api("DELETE", POD)
    assert (await api("GET", POD))[0] == 404


async def test_finalizers_hold_a_pod(api: Api) -> None:
    body = pod()
    body["metadata"]["finalizers"] = ["a.io/b"]
    await api.create(body)
    await api("DELETE", POD, gracePeriodSeconds="0")
    assert (await api("GET", POD))[0] == 200
    await api("PATCH", POD, {"metadata": {"finalizers": None}}, headers=MERGE)
    assert (await api("GET", POD))[0] == 404


async def test_delete_collection(api: Api) -> None:
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        body = pod(name)
        body["metadata"]["labels"] = {"l": label}
        await api.create(body)
    code, listed = await api("DELETE", PODS, labelSelector="l=x", gracePeriodSeconds="0")
    assert (code, [item["metadata"]["name"] for item in listed["items"]]) == (200, ["a", "b"])
    assert [item["metadata"]["name"] for item in (await api("GET", PODS))[1]["items"]] == ["c"]
