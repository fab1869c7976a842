"""Backup and restore while everything runs: ordinary writes, seen by watchers, and nothing where the file is not right."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from polong.api.service import User
from polong.kit.errors import Forbidden
from polong.store import backup
from polong.store.backup import Backup
from polong.store.interface import KeyValue

from .conftest import Api, pod

Json = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
BACKUPS = "/apis/polong.dev/v1alpha1/statebackups"
RESTORES = "/apis/polong.dev/v1alpha1/staterestores"


async def saved(api: Api) -> bytes:
    response = await api.respond("GET", BACKUPS)
    assert response.chunks is not None
    return b"".join([chunk async for chunk in response.chunks])


async def test_what_was_is_again(api: Api) -> None:
    kept = await api.create(pod("kept"))
    gone = await api.create(pod("gone"))
    changed = await api.create(pod("changed"))
    data = await saved(api)
    await api("DELETE", f"{PODS}/gone", gracePeriodSeconds="0")
    await api("DELETE", f"{PODS}/changed", gracePeriodSeconds="0")
    again = await api.create(pod("changed"))
    merge = {"content-type": "application/merge-patch+json"}
    await api("PATCH", f"{PODS}/kept", {"metadata": {"labels": {"a": "b"}}}, headers=merge)
    await api.create(pod("new"))
    before = await api.storage.revision()
    watch = await api.respond("GET", PODS, watch="true", resourceVersion=str(before))
    code, planned = await api("POST", RESTORES, data, dryRun="All")
    assert code == 200
    assert await api.storage.revision() == before
    code, done = await api("POST", RESTORES, data)
    assert (code, done["kind"]) == (200, "StateRestore")
    assert (planned["created"], planned["updated"], planned["deleted"]) == (1, 2, 1)
    assert (done["created"], done["updated"], done["deleted"]) == (2, 1, 2)
    assert int(done["metadata"]["resourceVersion"]) == before + 5
    _, listed = await api("GET", PODS)
    assert {item["metadata"]["name"]: item["metadata"]["uid"] for item in listed["items"]} == {
        one["metadata"]["name"]: one["metadata"]["uid"] for one in (kept, gone, changed)
    }
    assert "labels" not in listed["items"][2]["metadata"]
    assert watch.events is not None
    async with asyncio.timeout(5):
        events = [(one["type"], one["object"]["metadata"]["name"]) for one in [await anext(watch.events) for _ in range(5)]]
    assert sorted(events) == [("ADDED", "changed"), ("ADDED", "gone"), ("DELETED", "changed"), ("DELETED", "new"), ("MODIFIED", "kept")]
    assert again["metadata"]["uid"] != changed["metadata"]["uid"]
    await watch.events.aclose()  # type: ignore[attr-defined]
    _, twice = await api("POST", RESTORES, data)
    assert (twice["created"], twice["updated"], twice["deleted"]) == (0, 0, 0)


async def test_a_pod_of_another_node_is_bound_to_this_one(api: Api, tmp_path: Path) -> None:
    made = deepcopy(await api.create(pod()))
    made["spec"] |= {"nodeName": "elsewhere", "hostname": "other"}
    made["metadata"].pop("resourceVersion")
    spaces = [KeyValue(one.key, one.value, one.revision, one.created) for one in (await api.storage.list("/namespaces/")).items]
    backup.write(tmp_path / "copy", Backup([*spaces, KeyValue("/pods/default/p", msgspec.json.encode(made), 900, 900)], 900))
    code, _ = await api("POST", RESTORES, (tmp_path / "copy").read_bytes())
    assert code == 200
    assert (await api("GET", f"{PODS}/p"))[1]["spec"]["nodeName"] == "n1"


@pytest.mark.parametrize(
    "value", [b"", b"[]", b'{"metadata":{"name":"other","namespace":"default"},"kind":"Pod"}', b"\xff", b'{"metadata":1}']
)
async def test_nothing_is_written_of_a_backup_that_is_not_whole(api: Api, tmp_path: Path, value: bytes) -> None:
    await api.create(pod())
    before = await api.storage.revision()
    backup.write(tmp_path / "copy", Backup([KeyValue("/pods/default/p", value, 1, 1)], 1))
    for data in ((tmp_path / "copy").read_bytes(), b"nonsense", b""):
        code, status = await api("POST", RESTORES, data)
        assert (code, "cannot restore" in status["message"]) == (400, True)
    assert await api.storage.revision() == before


async def test_only_who_may_everything_may(api: Api) -> None:
    for method, path in (("GET", BACKUPS), ("POST", RESTORES)):
        with pytest.raises(Forbidden):
            await api.respond(method, path, b"", user=User("bob", ("system:authenticated",)))
