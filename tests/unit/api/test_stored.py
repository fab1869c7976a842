"""Bytes of the store as answers: the same to the letter as what decoding and encoding would give, for every kind and form."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import msgspec
import pytest

from polong.api.app import Service
from polong.api.decoded import Decoded
from polong.api.service import MASTERS, Request, User

from .conftest import Api

Json = dict[str, Any]

ADMIN = User("admin", (MASTERS,))
PODS = "/api/v1/namespaces/default/pods"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata{};v=v1;g=meta.k8s.io"
QUERIES = (
    (),
    (("labelSelector", "a=1"),),
    (("fieldSelector", "metadata.name=one"),),
    (("fieldSelector", "status.phase=Pending,metadata.namespace=default"),),
    (("limit", "1"),),
)


def pod(name: str) -> Json:
    # A template's metadata comes before its own in the body: what is spliced must not be the wrong one.
    metadata = {"name": name, "labels": {"a": "1" if name == "one" else "2"}, "annotations": {"x": 'é"metadata":{'}}
    return {"spec": {"containers": [{"name": "c", "image": "i"}]}, "metadata": metadata, "kind": "Pod", "apiVersion": "v1"}


OBJECTS: list[tuple[str, Json]] = [
    (PODS, pod("one")),
    (PODS, pod("two")),
    (
        "/api/v1/namespaces/default/podtemplates",
        {"template": pod("inner"), "metadata": {"name": "t"}, "kind": "PodTemplate", "apiVersion": "v1"},
    ),
    (
        "/api/v1/namespaces/default/events",
        {"involvedObject": {"namespace": "default"}, "metadata": {"name": "e"}, "kind": "Event", "apiVersion": "v1"},
    ),
    (
        "/api/v1/namespaces/default/configmaps",
        {"data": {"metadata": "x"}, "metadata": {"name": "c"}, "kind": "ConfigMap", "apiVersion": "v1"},
    ),
]
COLLECTIONS = ("/apis/events.k8s.io/v1/namespaces/default/events", "/api/v1/namespaces", *dict.fromkeys(path for path, _ in OBJECTS))


@pytest.fixture
async def service(api: Api) -> Service:
    for path, body in OBJECTS:
        await api.service.handle(Request("POST", path, (), {}, body, ADMIN))
    return api.service


async def both(service: Service, path: str, query: tuple[tuple[str, str], ...], accept: str) -> tuple[Json, Json]:
    answers = []
    for wire in (False, True):
        answer = await service.handle(Request("GET", path, query, {"accept": accept}, None, ADMIN, wire=wire))
        assert answer.body is not None
        answers.append(json.loads(answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)))
    return answers[0], answers[1]


@pytest.mark.parametrize("path", COLLECTIONS)
@pytest.mark.parametrize("accept", ["application/json", TABLE, METADATA.format("List")])
async def test_a_list_is_the_same_over_a_wire(service: Service, path: str, accept: str):
    for query in (*QUERIES, (("includeObject", "Object"),)):
        if path.rpartition("/")[2] != "pods" and "status.phase" in str(query):
            continue
        decoded, copied = await both(service, path, query, accept)
        assert copied == decoded
        assert copied.get("items") or copied.get("rows") or query
        for item in copied.get("items") or ():
            assert int(item["metadata"]["resourceVersion"]) > 0


@pytest.mark.parametrize(("path", "body"), OBJECTS)
@pytest.mark.parametrize("accept", ["application/json", TABLE, METADATA.format("")])
async def test_an_object_is_the_same_over_a_wire(service: Service, path: str, body: Json, accept: str):
    decoded, copied = await both(service, f"{path}/{body['metadata']['name']}", (), accept)
    assert copied == decoded


async def test_a_watch_is_the_same_over_a_wire(service: Service):
    async def events(wire: bool, query: tuple[tuple[str, str], ...]) -> list[Json]:
        request = Request("GET", PODS, (("watch", "true"), ("resourceVersion", "1"), *query), {}, None, ADMIN, wire=wire)
        answer = await service.handle(request)
        assert answer.events is not None
        found: list[Json] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                while True:
                    found.append(json.loads(msgspec.json.encode(await anext(answer.events))))
        return found

    patch = {"metadata": {"labels": {"a": "3"}}}
    await service.handle(Request("PATCH", f"{PODS}/one", (), {"content-type": "application/merge-patch+json"}, patch, ADMIN))
    await service.handle(Request("DELETE", f"{PODS}/two", (("gracePeriodSeconds", "0"),), {}, None, ADMIN))
    for query in ((), (("labelSelector", "a=1"),), (("fieldSelector", "status.phase=Pending"),)):
        decoded, copied = await events(False, query), await events(True, query)
        assert copied == decoded
    assert [event["type"] for event in await events(True, (("labelSelector", "a=1"),))] == ["ADDED", "DELETED"]


def test_decoded_objects_are_bounded_by_bytes():
    held = Decoded(limit=100)
    for number in range(20):
        held.keep(f"k{number}", 1, {}, 10)
    assert [number for number in range(20) if held.get(f"k{number}", 1) is not None] == list(range(10, 20))
    held.get("k10", 1)
    held.keep("new", 1, {}, 10)
    assert held.get("k10", 1) is not None
    assert held.get("k11", 1) is None


def test_one_long_list_makes_nothing_forgotten():
    held = Decoded(limit=100)
    for number in range(9):
        held.keep(f"k{number}", 1, {}, 10)
    for number in range(1000):
        held.keep(f"listed{number}", 1, {}, 10, if_room=True)
    assert all(held.get(f"k{number}", 1) is not None for number in range(9))
    held.drop("k0", 1)
    held.keep("listed", 2, {}, 10, if_room=True)
    assert held.get("listed", 2) is not None
