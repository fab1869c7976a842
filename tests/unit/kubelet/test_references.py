"""The objects of Pods: one watch each, for as long as somebody needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.unit.kubelet.doubles import FakeApi, FakeClock, pod, settle

from polong.kit.errors import Unavailable
from polong.kubelet.references import References
from polong.objects.podreferences import CONFIG_MAP, SECRET, Reference

WEB, KEY = Reference(CONFIG_MAP, "web"), Reference(SECRET, "key")


def using(uid: str, *volumes: dict[str, Any]) -> dict[str, Any]:
    return pod(uid=uid, volumes=[{"name": f"v{number}", **each} for number, each in enumerate(volumes)])


MAP: dict[str, Any] = {"configMap": {"name": "web"}}
SECRETS: dict[str, Any] = {"secret": {"secretName": "key"}}


class Bench:
    def __init__(self) -> None:
        self.api, self.clock = FakeApi(), FakeClock()
        self.changed: list[str] = []
        self.references = References(self.api, self.clock, self.changed.append)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.references.aclose()


async def test_only_what_pods_refer_to_is_watched_and_only_once(bench: Bench) -> None:
    bench.references.follow(using("a", MAP, SECRETS))
    bench.references.follow(using("b", MAP))
    bench.references.follow(using("b", MAP))
    await settle()
    assert bench.api.followed() == {("default", WEB), ("default", KEY)}
    assert sum(len(each) for each in bench.api._referred.values()) == 2
    bench.references.forget("a")
    await settle()
    assert bench.api.followed() == {("default", WEB)}
    bench.references.forget("b")
    bench.references.forget("b")
    await settle()
    assert bench.api.followed() == set()


async def test_a_change_is_told_to_each_pod_that_refers_to_it(bench: Bench) -> None:
    bench.api.keep(CONFIG_MAP, "web", {"a": "1"})
    bench.references.follow(using("a", MAP))
    bench.references.follow(using("b", MAP, SECRETS))
    found = await bench.references.get("default", WEB)
    assert found is not None
    assert found["data"] == {"a": "1"}
    assert await bench.references.get("default", KEY) is None
    assert bench.changed == []
    bench.api.keep(CONFIG_MAP, "web", {"a": "2"})
    await settle()
    assert bench.changed == ["a", "b"]
    bench.api.keep(SECRET, "key", {})
    bench.api.keep(CONFIG_MAP, "web", None)
    await settle()
    assert bench.changed == ["a", "b", "b", "a", "b"]
    assert await bench.references.get("default", WEB) is None


async def test_an_api_that_does_not_answer_is_an_error_of_its_own(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(namespace: str, reference: Reference) -> AsyncIterator[tuple[str, Any]]:
        raise Unavailable("the API is away")
        yield

    with pytest.raises(Unavailable, match="no Pod refers to it"):
        await bench.references.get("default", WEB)
    fine = bench.api.referred
    monkeypatch.setattr(bench.api, "referred", refuses)
    bench.references.follow(using("a", MAP))
    with pytest.raises(Unavailable, match="the API is away"):
        await bench.references.get("default", WEB)
    monkeypatch.setattr(bench.api, "referred", fine)
    bench.api.keep(CONFIG_MAP, "web", {"a": "1"})
    await bench.clock.advance(2)
    assert await bench.references.get("default", WEB) is not None
    assert bench.changed == ["a"]


async def test_what_vanished_while_the_api_was_away_is_noticed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.api.keep(CONFIG_MAP, "web", {"a": "1"})
    fine = bench.api.referred

    async def short(namespace: str, reference: Reference) -> AsyncIterator[tuple[str, Any]]:
        async for change in fine(namespace, reference):
            yield change
            if change[0] == "SYNCED":
                return

    monkeypatch.setattr(bench.api, "referred", short)
    bench.references.follow(using("a", MAP))
    await settle()
    monkeypatch.setattr(bench.api, "referred", fine)
    bench.api.keep(CONFIG_MAP, "web", None)
    await bench.clock.advance(2)
    assert await bench.references.get("default", WEB) is None
    assert bench.changed == ["a"]


async def test_the_first_answer_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = asyncio.Event()
    real = bench.api.referred

    async def late(namespace: str, reference: Reference) -> AsyncIterator[tuple[str, Any]]:
        await gate.wait()
        async for change in real(namespace, reference):
            yield change

    monkeypatch.setattr(bench.api, "referred", late)
    bench.api.keep(CONFIG_MAP, "web", {})
    bench.references.follow(using("a", MAP))
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(bench.references.get("default", WEB))
        await settle()
        assert not asked.done()
        gate.set()
    assert asked.result() is not None
