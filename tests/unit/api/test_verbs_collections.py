"""Lists, pages, selectors, forms; namespaces, nodes, events; discovery; who may."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from polong.api.service import User
from polong.kit.errors import Forbidden, PolongError, Unauthorized

from .conftest import ADMIN, Api, pod

Json = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
EVENTS = "/api/v1/namespaces/default/events"
MERGE = {"content-type": "application/merge-patch+json"}


async def fill(api: Api, count: int) -> None:
    for number in range(count):
        body = pod(f"p{number}")
        body["metadata"]["labels"] = {"parity": "even" if number % 2 == 0 else "odd"}
        await api.create(body)


def names(listed: Json) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


async def test_pages_are_one_snapshot(api: Api) -> None:
    await fill(api, 5)
    _, first = await api("GET", PODS, limit="2")
    assert (names(first), first["metadata"]["remainingItemCount"]) == (["p0", "p1"], 3)
    await api("DELETE", PODS + "/p3", gracePeriodSeconds="0")
    _, second = await api("GET", PODS, limit="2", **{"continue": first["metadata"]["continue"]})
    assert names(second) == ["p2", "p3"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    _, third = await api("GET", PODS, limit="2", **{"continue": second["metadata"]["continue"]})
    assert names(third) == ["p4"]
    assert "continue" not in third["metadata"]


async def test_a_limit_counts_what_matches(api: Api) -> None:
    await fill(api, 6)
    _, first = await api("GET", PODS, limit="2", labelSelector="parity=odd")
    assert names(first) == ["p1", "p3"]
    assert "remainingItemCount" not in first["metadata"]
    _, rest = await api("GET", PODS, limit="2", labelSelector="parity=odd", **{"continue": first["metadata"]["continue"]})
    assert names(rest) == ["p5"]


async def test_an_old_token_is_expired_and_a_foreign_one_refused(api: Api) -> None:
    await fill(api, 3)
    _, first = await api("GET", PODS, limit="1")
    token = first["metadata"]["continue"]
    await api("DELETE", PODS + "/p2", gracePeriodSeconds="0")
    await api.storage.compact(await api.storage.revision())
    code, status = await api("GET", PODS, limit="1", **{"continue": token})
    assert (code, status["reason"]) == (410, "Expired")
    assert (await api("GET", PODS, **{"continue": "nonsense"}))[0] == 400
    assert (await api("GET", "/api/v1/nodes", **{"continue": token}))[0] == 400


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"fieldSelector": "metadata.name=p1"}, ["p1"]),
        ({"fieldSelector": "spec.nodeName=n1,status.phase!=Pending"}, []),
        ({"labelSelector": "parity in (even)"}, ["p0", "p2"]),
        ({"fieldSelector": "metadata.namespace=default"}, ["p0", "p1", "p2"]),
    ],
)
async def test_selectors(api: Api, query: dict[str, str], expected: list[str]) -> None:
    await fill(api, 3)
    assert names((await api("GET", PODS, **query))[1]) == expected
    assert names((await api("GET", "/api/v1/pods", **query))[1]) == expected


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"fieldSelector": "spec.nope=1"}, 400),
        ({"labelSelector": "a in"}, 400),
        ({"limit": "-1"}, 400),
        ({"resourceVersion": "x"}, 422),
        ({"resourceVersion": "99999"}, 504),
        ({"resourceVersionMatch": "Exact"}, 422),
    ],
)
async def test_bad_queries(api: Api, query: dict[str, str], code: int) -> None:
    assert (await api("GET", PODS, **query))[0] == code


async def test_forms(api: Api) -> None:
    await fill(api, 1)
    _, table = await api("GET", PODS, headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}, includeObject="Object")
    assert table["rows"][0]["object"]["spec"]["nodeName"] == "n1"
    partial = {"accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
    _, listed = await api("GET", PODS, headers=partial)
    assert (listed["kind"], listed["items"][0]["kind"]) == ("PartialObjectMetadataList", "PartialObjectMetadata")
    for accept in ("application/cbor", "application/json;as=Nope;v=v1;g=meta.k8s.io", "application/vnd.kubernetes.protobuf"):
        code, status = await api("GET", PODS, headers={"accept": accept})
        assert (code, status["reason"]) == (406, "NotAcceptable")
    code, _ = await api("GET", PODS, headers={"accept": "application/vnd.kubernetes.protobuf,application/json"})
    assert code == 200


async def test_the_usual_namespaces_exist(api: Api) -> None:
    assert names((await api("GET", "/api/v1/namespaces"))[1]) == ["default", "kube-node-lease", "kube-public", "kube-system"]
    code, status = await api("DELETE", "/api/v1/namespaces/default")
    assert (code, status["reason"]) == (403, "Forbidden")


async def test_a_namespace_ends_after_its_pods(api: Api) -> None:
    await api("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    await api.create(pod(), "n")
    event = {"metadata": {"name": "e"}, "involvedObject": {"namespace": "n"}}
    assert (await api("POST", "/api/v1/namespaces/n/events", event))[0] == 201
    code, going = await api("DELETE", "/api/v1/namespaces/n")
    assert (code, going["status"]["phase"]) == (200, "Terminating")
    await until(lambda: marked(api))
    assert (await api("GET", "/api/v1/namespaces/n"))[0] == 200
    code, status = await api("POST", "/api/v1/namespaces/n/pods", pod("late"))
    assert (code, status["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    await api("DELETE", "/api/v1/namespaces/n/pods/p", gracePeriodSeconds="0")
    await until(lambda: gone(api))
    assert (await api("GET", "/api/v1/events"))[1]["items"] == []


async def marked(api: Api) -> bool:
    return "deletionTimestamp" in (await api("GET", "/api/v1/namespaces/n/pods/p"))[1]["metadata"]


async def gone(api: Api) -> bool:
    return (await api("GET", "/api/v1/namespaces/n"))[0] == 404


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not await condition():  # noqa: ASYNC110 - a condition of the API
            await asyncio.sleep(0.005)


async def test_events_of_two_groups_are_one(api: Api) -> None:
    event = {
        "metadata": {"generateName": "p."},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Pulled",
        "message": "done",
        "count": 2,
    }
    code, made = await api("POST", EVENTS, event)
    assert code == 201
    _, listed = await api("GET", "/apis/events.k8s.io/v1/namespaces/default/events")
    [newer] = listed["items"]
    assert (newer["apiVersion"], newer["regarding"]["name"], newer["note"], newer["deprecatedCount"]) == (
        "events.k8s.io/v1",
        "p",
        "done",
        2,
    )
    _, found = await api("GET", EVENTS, fieldSelector="involvedObject.name=p,reason=Pulled")
    assert names(found) == [made["metadata"]["name"]]
    assert (await api("GET", EVENTS, fieldSelector="involvedObject.name=q"))[1]["items"] == []
    code, _ = await api("POST", EVENTS, {"metadata": {"name": "x"}, "involvedObject": {"namespace": "other"}})
    assert code == 422


async def test_events_expire(api: Api) -> None:
    await api("POST", EVENTS, {"metadata": {"name": "x"}, "involvedObject": {"namespace": "default"}})
    await api.service.controllers.expiry.expire()
    assert (await api("GET", EVENTS + "/x"))[0] == 200
    api.clock.advance(3601)
    await api.service.controllers.expiry.expire()
    assert (await api("GET", EVENTS + "/x"))[0] == 404


async def test_nodes(api: Api) -> None:
    code, _ = await api("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    assert code == 201
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    await api("PATCH", "/api/v1/nodes/n1/status", status, headers={"content-type": "application/strategic-merge-patch+json"})
    _, table = await api("GET", "/api/v1/nodes", headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
    assert table["rows"][0]["cells"][:3] == ["n1", "Ready", "<none>"]
    code, done = await api("DELETE", "/api/v1/nodes/n1")
    assert (code, done["kind"], done["status"]) == (200, "Status", "Success")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/api/v1/nope", 404),
        ("GET", "/apis/nope/v1/pods", 404),
        ("GET", "/api/v1/namespaces/default/pods/p/nope", 404),
        ("PUT", PODS, 405),
        ("PATCH", PODS, 405),
        ("POST", PODS + "/p", 405),
        ("POST", "/api/v1/pods", 405),
        ("GET", "/api/v1/pods/p", 404),
        ("BREW", PODS, 405),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/api/v1/namespaces/default/pods/a/b/c/d", 404),
        ("GET", "/api/v1/namespaces//pods", 404),
        ("DELETE", "/api/v1/namespaces", 405),
        ("GET", "/..", 404),
    ],
)
async def test_paths_that_are_not(api: Api, method: str, path: str, code: int) -> None:
    assert (await api(method, path))[0] == code


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"nope", b"\xff", b'{"metadata": []}', b'{"metadata": {"name": 5}}'])
async def test_bad_bodies_are_400(api: Api, body: bytes) -> None:
    code, status = await api("POST", PODS, body, headers={"content-type": "application/json"})
    assert (code, status["reason"]) == (400, "BadRequest")
    assert "\n" not in status["message"]


async def test_who_may(api: Api) -> None:
    for path in ("/version", "/healthz", "/livez", "/readyz"):
        assert (await api.respond("GET", path, user=None)).status == 200
    for path in ("/api", "/openapi/v3", PODS, "/apis/polong.dev/v1alpha1/images", PODS + "/p/log"):
        with pytest.raises(Unauthorized):
            await api.respond("GET", path, user=None)
        with pytest.raises(Forbidden):
            await api.respond("GET", path, user=User("bob", ("people",)))
    code, status = await api("GET", PODS, user=User("bob"))
    assert code == 403
    assert status["message"] == 'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default"'


async def test_discovery_is_consistent(api: Api) -> None:
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    response = await api.respond("GET", "/apis", headers={"accept": aggregated})
    assert response.headers["Content-Type"] == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    tag = response.headers["ETag"]
    assert (await api.respond("GET", "/apis", headers={"accept": aggregated, "if-none-match": tag})).status == 304
    assert isinstance(response.body, bytes)
    groups = {item["metadata"]["name"]: item for item in msgspec.json.decode(response.body)["items"]}
    assert {"coordination.k8s.io", "events.k8s.io", "metrics.k8s.io", "node.k8s.io", "polong.dev", "scheduling.k8s.io"} <= set(groups)
    _, legacy = await api("GET", "/apis/polong.dev/v1alpha1")
    flat = {
        name
        for one in groups["polong.dev"]["versions"][0]["resources"]
        for name in [one["resource"], *(f"{one['resource']}/{sub['subresource']}" for sub in one.get("subresources", []))]
    }
    assert {row["name"] for row in legacy["resources"]} == flat - {"pods"}
    _, core = await api("GET", "/api/v1")
    assert {"pods", "pods/log", "pods/exec", "pods/status", "nodes", "namespaces", "events"} <= {row["name"] for row in core["resources"]}


async def test_openapi_lists_field_validation_and_resolves(api: Api) -> None:
    _, index = await api("GET", "/openapi/v3")
    assert {"api/v1", "apis/node.k8s.io/v1", "apis/events.k8s.io/v1", "apis/polong.dev/v1alpha1"} <= set(index["paths"])
    for name in index["paths"]:
        _, document = await api("GET", f"/openapi/v3/{name}")
        schemas = document["components"]["schemas"]
        text = msgspec.json.encode(document).decode()
        for reference in {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}:
            assert reference in schemas
    patch = (await api("GET", "/openapi/v3/api/v1"))[1]["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert "fieldValidation" in {parameter["name"] for parameter in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Pod"}


async def test_without_node_or_images_it_says_so(api: Api) -> None:
    await api.create(pod())
    for path in (PODS + "/p/log", "/apis/polong.dev/v1alpha1/images", "/apis/polong.dev/v1alpha1/namespaces/default/pods/p/processes"):
        with pytest.raises(PolongError) as caught:
            await api.respond("GET", path, user=ADMIN)
        assert type(caught.value).__name__ == "Unavailable"


async def test_an_expired_token_comes_with_one_to_go_on(api: Api) -> None:
    await fill(api, 4)
    _, first = await api("GET", PODS, limit="2")
    await api("DELETE", PODS + "/p2", gracePeriodSeconds="0")
    await api.storage.compact(await api.storage.revision())
    code, status = await api("GET", PODS, limit="1", **{"continue": first["metadata"]["continue"]})
    assert (code, status["reason"]) == (410, "Expired")
    _, rest = await api("GET", PODS, **{"continue": status["metadata"]["continue"]})
    assert names(rest) == ["p3"]
    code, _ = await api("GET", PODS, resourceVersion="1", **{"continue": first["metadata"]["continue"]})
    assert code == 400


async def test_apply_creates_for_who_may_create(api: Api) -> None:
    rules = [{"verbs": ["patch"], "apiGroups": [""], "resources": ["pods"]}]
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/"
    await api("POST", path + "roles", {"metadata": {"name": "patcher"}, "rules": rules})
    binding = {"roleRef": {"kind": "Role", "name": "patcher"}, "subjects": [{"kind": "User", "name": "bob"}], "metadata": {"name": "b"}}
    code, _ = await api("POST", path + "rolebindings", binding)
    assert code == 201
    headers, bob = {"content-type": "application/apply-patch+yaml"}, User("bob", ("system:authenticated",))
    code, status = await api("PATCH", PODS + "/p", pod(), headers=headers, user=bob, fieldManager="m")
    assert (code, "cannot create" in status["message"]) == (403, True)
    assert (await api("PATCH", PODS + "/p", pod(), headers=headers, fieldManager="m"))[0] == 201
    assert (await api("PATCH", PODS + "/p", pod(), headers=headers, user=bob, fieldManager="m"))[0] == 200
