"""Requests that nobody means well with: whatever comes, an answer below 500, a whole Status, and the server as before.

`POLONG_FUZZ=2000 pytest tests/unit/api/test_verbs_fuzz.py` looks longer.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.e2e.kinds import CLUSTER_WIDE, KINDS, SAMPLES, sample

from polong.api.app import Service
from polong.api.service import Request
from polong.api.status import failure
from polong.kit.errors import PolongError
from polong.store.memory import MemoryStorage

from .conftest import ADMIN, FakeClock, pod
from .kubeproto import encode

Json = dict[str, Any]
FULL = yaml.safe_load((Path(__file__).parents[2] / "integration/api/full_pod.yaml").read_text())
PODS = "/api/v1/namespaces/default/pods"
EXAMPLES = int(os.environ.get("POLONG_FUZZ", "20"))

OBJECTS: dict[str, Json] = {
    PODS: FULL,
    "/api/v1/namespaces/default/configmaps": {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}, "data": {"a": "b"}},
    "/api/v1/namespaces/default/secrets": {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "c"}, "data": {"a": "AAAA"}},
    "/api/v1/namespaces/default/events": {
        "kind": "Event", "apiVersion": "v1", "metadata": {"name": "c", "namespace": "default"}, "reason": "r", "type": "Normal",
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "firstTimestamp": "2026-01-01T00:00:00Z", "count": 1,
    },
    "/apis/coordination.k8s.io/v1/namespaces/default/leases": {
        "kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {"name": "c"},
        "spec": {"holderIdentity": "h", "leaseDurationSeconds": 5, "renewTime": "2026-01-01T00:00:00.000000Z"},
    },
    "/api/v1/nodes": {
        "kind": "Node", "apiVersion": "v1", "metadata": {"name": "c"}, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]},
        "status": {"capacity": {"cpu": "1"}, "conditions": [{"type": "Ready", "status": "True"}]},
    },
    "/api/v1/namespaces/default/limitranges": {
        "kind": "LimitRange", "apiVersion": "v1", "metadata": {"name": "c"},
        "spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]},
    },
    "/api/v1/namespaces/default/resourcequotas": {
        "kind": "ResourceQuota", "apiVersion": "v1", "metadata": {"name": "c"}, "spec": {"hard": {"pods": "10", "limits.cpu": "1"}},
    },
    "/apis/scheduling.k8s.io/v1/priorityclasses": {
        "kind": "PriorityClass", "apiVersion": "scheduling.k8s.io/v1", "metadata": {"name": "c"}, "value": 5,
    },
    "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles": {
        "kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "c"},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}],
    },
    "/api/v1/namespaces/default/podtemplates": {
        "kind": "PodTemplate", "apiVersion": "v1", "metadata": {"name": "c"}, "template": {"metadata": {}, "spec": FULL["spec"]},
    },
    "/api/v1/namespaces/default/serviceaccounts": {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "c"}},
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": {
        "kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}},
    },
}  # fmt: skip


def _collection(plural: str) -> str:
    """The path of a kind of tests/e2e/kinds.py."""
    resource, _, group = plural.partition(".")
    scope = "" if KINDS[plural] in CLUSTER_WIDE else "namespaces/default/"
    return f"/{f'apis/{group}' if group else 'api'}/v1/{scope}{resource}"


# Every other kind that is served.
OBJECTS |= {_collection(plural): sample(plural, "c", "default") for plural in SAMPLES if _collection(plural) not in OBJECTS}

SUBRESOURCES: dict[str, Json] = {
    f"{PODS}/full/eviction": {
        "kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "full"},
        "deleteOptions": {"gracePeriodSeconds": 1, "preconditions": {"uid": "u"}, "dryRun": ["All"]},
    },
    f"{PODS}/full/binding": {
        "kind": "Binding", "apiVersion": "v1", "metadata": {"name": "full"}, "target": {"kind": "Node", "name": "n"},
    },
    f"{PODS}/full/ephemeralcontainers": {**FULL, "metadata": {"name": "full"}},
    f"{PODS}/full/resize": {**FULL, "metadata": {"name": "full"}},
    "/api/v1/namespaces/default/serviceaccounts/default/token": {
        "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {},
        "spec": {"audiences": ["a"], "expirationSeconds": 600, "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "full"}},
    },
    "/api/v1/namespaces/default/finalize": {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "default"}, "spec": {}},
    "/apis/authentication.k8s.io/v1/tokenreviews": {
        "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "spec": {"token": "a.b.c", "audiences": ["a"]},
    },
    "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews": {
        "kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}, "spec": {"namespace": "default"},
    },
    "/apis/authorization.k8s.io/v1/subjectaccessreviews": {
        "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {},
        "spec": {"user": "u", "groups": ["g"], "extra": {"a": ["b"]}, "nonResourceAttributes": {"path": "/x", "verb": "get"}},
    },
}  # fmt: skip

MEDIA = {
    "application/json-patch+json": [{"op": "replace", "path": "/metadata/labels", "value": {"a": "b"}}, {"op": "remove", "path": "/spec"}],
    "application/merge-patch+json": {"metadata": {"labels": {"a": None}}, "spec": {"containers": []}},
    "application/strategic-merge-patch+json": {
        "spec": {
            "$setElementOrder/containers": [{"name": "c"}],
            "containers": [{"name": "c", "$patch": "delete"}, {"name": "d", "image": "x", "env": [{"name": "A", "$patch": "replace"}]}],
            "$retainKeys": ["containers"],
            "volumes": [{"$patch": "replace"}],
        },
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["x"], "annotations": {"$patch": "replace", "a": "b"}},
    },
    "application/apply-patch+yaml": pod(),
}

junk = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2**31, -(2**31) - 1, 2**63 - 1, 2**63, 2**64, -(2**70), 10**400]),
    st.sampled_from([0.5, -0.0, 1e308, 1e22]),
    st.text(max_size=6),
    st.sampled_from(["", "\0", "..", "a/b", "%2e", "\ud800", "\u202e", "1e400", "9" * 400, "-1", "1Ki", "x" * 300, "*", "$patch", "{}"]),
    st.sampled_from([[], {}, [[]], [None], [{}], {"": None}, {"a": {"b": []}}, {"$patch": "replace"}, {"name": "c"}]),
)


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for step, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(child, (*path, step))


@st.composite
def damaged(draw: st.DrawFn, original: Any) -> Any:
    """The document with one to three of its places made into something else, taken away, or given twice."""
    document = json.loads(json.dumps(original))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(document))))
        if not path:
            return deepcopy(draw(junk)) if draw(st.integers(0, 9)) == 0 else document
        parent = document
        for step in path[:-1]:
            parent = parent[step]
        action = draw(st.sampled_from(["junk", "junk", "junk", "drop", "twice", "rename"]))
        if action == "drop":
            del parent[path[-1]]
        elif action == "twice" and isinstance(parent, list):
            parent.append(parent[path[-1]])
        elif action == "rename" and isinstance(parent, dict):
            parent[draw(st.text(max_size=4))] = parent.pop(path[-1])
        else:
            parent[path[-1]] = deepcopy(draw(junk))
    return document


NAMES = (
    "watch", "limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector", "fieldSelector", "timeoutSeconds",
    "sendInitialEvents", "allowWatchBookmarks", "dryRun", "fieldManager", "fieldValidation", "force", "gracePeriodSeconds",
    "propagationPolicy", "orphanDependents", "includeObject", "pretty", "container", "tailLines", "command",
)  # fmt: skip
queries = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.one_of(
            st.text(max_size=8),
            st.sampled_from(
                ["", "0", "1", "-1", "true", "All", "Strict", "9" * 30, "a=b", "a in (b", "!", "metadata.name=x", "Exact", "e30="]
            ),
        ),
    ),
    max_size=4,
)


class Target:
    """One service for all examples; each request ends within its own loop's run."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._storage = MemoryStorage()
        self._service = Service(self._storage, node_name="n", clock=FakeClock())
        runner.run(self._service.start())
        for path, obj in OBJECTS.items():
            self.send("POST", path, json.dumps(obj).encode())

    def send(self, method: str, path: str, body: bytes | None = None, media: str = "application/json", query: Any = ()) -> int:
        headers = {"content-type": media, "user-agent": "fuzz/1"}
        return self._runner.run(self._send(Request(method, path, list(query), headers, body, ADMIN, wire=True)))

    async def _send(self, request: Request) -> int:
        try:
            response = await self._service.handle(request)
        except PolongError as error:
            document = failure(error)
            assert document["code"] < 500 or document["code"] in (503, 504), (request, document)
            assert document["message"]
            json.dumps(document).encode()
            msgspec.json.encode(document)
            return int(document["code"])
        if response.events is not None:
            await anext(response.events, None) if dict(request.query).get("timeoutSeconds") == "0" else None
            await response.events.aclose()  # type: ignore[attr-defined]
        elif response.body is not None and not isinstance(response.body, bytes):
            msgspec.json.encode(response.body)
        return response.status

    def close(self) -> None:
        self._runner.run(self._service.aclose())


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with asyncio.Runner() as runner:
        target = Target(runner)
        yield target
        target.close()


some = settings(max_examples=EXAMPLES, derandomize=EXAMPLES == 20, deadline=None, suppress_health_check=list(HealthCheck))


def wire(document: Any) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize("path", OBJECTS)
@given(data=st.data())
@some
def test_objects(target: Target, path: str, data: st.DataObject) -> None:
    document = data.draw(damaged(OBJECTS[path]))
    name = OBJECTS[path]["metadata"]["name"] if "metadata" in OBJECTS[path] else "x"
    for method, where in (("POST", path), ("PUT", f"{path}/{name}"), ("PUT", f"{path}/{name}/status")):
        target.send(method, where, wire(document), query=[("dryRun", "All")])
    target.send("PATCH", f"{path}/{name}", wire(document), "application/apply-patch+yaml", [("fieldManager", "m"), ("force", "true")])


@pytest.mark.parametrize("path", SUBRESOURCES)
@given(data=st.data())
@some
def test_subresources(target: Target, path: str, data: st.DataObject) -> None:
    document = data.draw(damaged(SUBRESOURCES[path]))
    for method in ("POST", "PUT"):
        target.send(method, path, wire(document), query=[("dryRun", "All")])
    media = data.draw(st.sampled_from(["application/merge-patch+json", "application/strategic-merge-patch+json"]))
    target.send("PATCH", path, wire(document), media, query=[("dryRun", "All")])


@pytest.mark.parametrize("media", MEDIA)
@given(data=st.data())
@some
def test_patches(target: Target, media: str, data: st.DataObject) -> None:
    document = data.draw(damaged(MEDIA[media]))
    query = [("fieldManager", "m"), ("fieldValidation", "Ignore")]
    for path in (f"{PODS}/full", f"{PODS}/full/status", "/api/v1/namespaces/default/configmaps/c"):
        target.send("PATCH", path, wire(document), media, query)


operations = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"])},
        optional={
            "path": st.sampled_from(
                ["", "/", "/spec", "/spec/containers/0", "/spec/containers/-", "/spec/containers/01", "/metadata/name", "x", "/a~2"]
            ),
            "from": st.sampled_from(["", "/spec", "/spec/containers", "/metadata"]),
            "value": junk,
        },
    ),
    max_size=5,
)


@given(operations)
@some
def test_json_patches(target: Target, patch: Any) -> None:
    target.send("PATCH", f"{PODS}/full", wire(patch), "application/json-patch+json", [("dryRun", "All")])


@given(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]),
    st.sampled_from([*OBJECTS, PODS + "/full"]),
    queries,
    st.data(),
)
@some
def test_queries(target: Target, method: str, path: str, query: Any, data: st.DataObject) -> None:
    accept = data.draw(st.sampled_from(["", "application/json"]))
    target.send(
        method, path, wire({}) if method in ("POST", "PUT", "PATCH") else None, accept or "application/json", [*query, ("dryRun", "All")]
    )


@given(
    st.binary(max_size=60),
    st.sampled_from(["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", *MEDIA, "x", ""]),
)
@some
def test_bytes(target: Target, body: bytes, media: str) -> None:
    for prefix in (b"", b"k8s\0", b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"q"},"spec":', b"[" * 2000, b'{"a":' * 2000):
        target.send("POST", PODS, prefix + body, media, [("dryRun", "All")])
        target.send("PATCH", PODS + "/full", prefix + body, media, [("dryRun", "All"), ("fieldManager", "m")])
        target.send("DELETE", PODS + "/none", prefix + body, media)


@given(st.text(max_size=20), st.sampled_from(["GET", "POST", "DELETE"]))
@some
def test_paths(target: Target, text: str, method: str) -> None:
    from urllib.parse import quote

    for path in (
        "/" + quote(text, safe="/%"),
        f"{PODS}/{quote(text, safe='%')}",
        f"/apis/{quote(text, safe='/')}",
        f"{PODS}/full/{quote(text)}",
    ):
        target.send(method, path, wire({}) if method == "POST" else None, query=[("dryRun", "All")])


BOMBS = {
    "aliases": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 112)),
    "deep": b"[" * 100_000,
    "deep-object": b'{"a":' * 100_000,
    "deep-yaml": b"- " * 50_000,
    "wide": b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"w"},"spec":{"containers":[' + b"{}," * 900_000 + b"{}]}}",
    "wide-map": b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"w"},"data":{'
    + b",".join(b'"%d":""' % n for n in range(200_000))
    + b"}}",
    "below-the-limit": b'{"metadata":' + b'{"a":' * 900 + b"1" + b"}" * 901,
    "digits": b'{"kind":"Pod","spec":{"terminationGracePeriodSeconds":' + b"9" * 100_000 + b"}}",
    "protobuf": encode(pod())[:-4] + b"\x12\x00" * 100_000,
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize(
    "media", ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/apply-patch+yaml"]
)
def test_bombs(target: Target, bomb: str, media: str) -> None:
    method, path = ("PATCH", PODS + "/w") if media in MEDIA else ("POST", PODS)
    assert 400 <= target.send(method, path, BOMBS[bomb], media, [("fieldManager", "m")]) < 500


def test_copies_that_double_are_stopped(target: Target) -> None:
    patch = [{"op": "add", "path": "/metadata/annotations", "value": {"a": "x" * 1000}}]
    patch += [{"op": "copy", "from": "/metadata/annotations", "path": f"/metadata/annotations/a{n}"} for n in range(40)]
    assert 400 <= target.send("PATCH", PODS + "/full", wire(patch), "application/json-patch+json") < 500
