from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from polong.api.verbs import watch as watch_verb

from .conftest import Api, pod

PODS = "/api/v1/namespaces/default/pods"
MERGE = {"content-type": "application/merge-patch+json"}
Json = dict[str, Any]


async def start(api: Api, path: str = PODS, headers: dict[str, str] | None = None, **query: str) -> AsyncIterator[Json]:
    response = await api.respond("GET", path, watch="true", headers=headers, **query)
    assert response.events is not None
    return response.events


async def take(events: AsyncIterator[Json], count: int) -> list[tuple[str, Json]]:
    async with asyncio.timeout(5):
        return [(event["type"], event["object"]) for event in [await anext(events) for _ in range(count)]]


async def test_what_is_there_then_what_changes(api: Api) -> None:
    await api.create(pod("a"))
    events = await start(api)
    await api.create(pod("b"))
    await api("PATCH", PODS + "/b", {"metadata": {"labels": {"x": "y"}}}, headers=MERGE)
    await api("DELETE", PODS + "/b", gracePeriodSeconds="0")
    seen = await take(events, 4)
    assert [(kind, obj["metadata"]["name"]) for kind, obj in seen] == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "b")]
    versions = [int(obj["metadata"]["resourceVersion"]) for _, obj in seen]
    assert versions == sorted(versions)
    assert len(set(versions)) == 4
    await events.aclose()  # type: ignore[attr-defined]


async def test_resume_from_a_revision(api: Api) -> None:
    made = await api.create(pod("a"))
    await api.create(pod("b"))
    events = await start(api, resourceVersion=made["metadata"]["resourceVersion"])
    assert [(kind, obj["metadata"]["name"]) for kind, obj in await take(events, 1)] == [("ADDED", "b")]
    await events.aclose()  # type: ignore[attr-defined]


async def test_objects_enter_and_leave_a_selector(api: Api) -> None:
    await api.create(pod("a"))
    events = await start(api, labelSelector="x=y", resourceVersion=str(await api.storage.revision()))
    await api("PATCH", PODS + "/a", {"metadata": {"labels": {"x": "y"}}}, headers=MERGE)
    await api("PATCH", PODS + "/a", {"metadata": {"annotations": {"n": "1"}}}, headers=MERGE)
    await api("PATCH", PODS + "/a", {"metadata": {"labels": {"x": "z"}}}, headers=MERGE)
    assert [kind for kind, _ in await take(events, 3)] == ["ADDED", "MODIFIED", "DELETED"]
    await events.aclose()  # type: ignore[attr-defined]


async def test_field_selector_on_phase(api: Api) -> None:
    await api.create(pod("a"))
    events = await start(api, fieldSelector="status.phase=Running")
    await api("PATCH", PODS + "/a/status", {"status": {"phase": "Running"}}, headers=MERGE)
    assert [kind for kind, _ in await take(events, 1)] == ["ADDED"]
    await events.aclose()  # type: ignore[attr-defined]


async def test_initial_events_end_with_a_bookmark(api: Api) -> None:
    await api.create(pod("a"))
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    events = await start(api, **query)
    seen = await take(events, 2)
    assert [kind for kind, _ in seen] == ["ADDED", "BOOKMARK"]
    assert seen[1][1]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    await events.aclose()  # type: ignore[attr-defined]
    code, status = await api("GET", PODS, watch="true", sendInitialEvents="true")
    assert (code, status["reason"]) == (422, "Invalid")


async def test_bookmarks_name_a_revision_that_loses_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_verb, "BOOKMARK_SECONDS", 0.05)
    events = await start(api, allowWatchBookmarks="true")
    await api("POST", "/api/v1/namespaces", {"metadata": {"name": "elsewhere"}})
    [(kind, obj)] = await take(events, 1)
    assert (kind, obj["kind"], obj["metadata"]["resourceVersion"]) == ("BOOKMARK", "Pod", str(await api.storage.revision()))
    await events.aclose()  # type: ignore[attr-defined]


async def test_a_compacted_revision_is_gone(api: Api) -> None:
    made = await api.create(pod("a"))
    for number in range(5):
        await api("PATCH", PODS + "/a", {"metadata": {"labels": {"x": str(number)}}}, headers=MERGE)
    await api.storage.compact(await api.storage.revision())
    events = await start(api, resourceVersion=made["metadata"]["resourceVersion"])
    [(kind, status)] = await take(events, 1)
    assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_a_revision_of_the_future_is_a_timeout(api: Api) -> None:
    code, status = await api("GET", PODS, watch="true", resourceVersion="999999")
    assert (code, status["reason"], status["details"]["causes"][0]["reason"]) == (504, "Timeout", "ResourceVersionTooLarge")


async def test_timeout_ends_the_stream(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    events = await start(api, timeoutSeconds="1")
    async with asyncio.timeout(5):
        assert [event async for event in events] == []


async def test_tables(api: Api) -> None:
    table = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    await api.create(pod("a"))
    await api.create(pod("b"))
    events = await start(api, headers=table)
    (_, first), (_, second) = await take(events, 2)
    assert [column["name"] for column in first["columnDefinitions"]][:5] == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert second["columnDefinitions"] is None
    assert second["rows"][0]["cells"][:4] == ["b", "0/1", "Pending", "0"]
    assert second["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    await events.aclose()  # type: ignore[attr-defined]
