"""List, watch, resume: nothing lost, nothing told twice."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from polong.client import Call, Client, ListOptions
from polong.client.inprocess import InProcessTransport
from polong.client.watch import Change, ListWatch
from polong.kit import errors
from polong.objects.gvk import PODS

Json = dict[str, Any]


def pod(name: str, revision: int, uid: str = "") -> Json:
    return {"metadata": {"name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(revision)}}


@dataclass
class Given:
    status: int = 200
    body: Json | None = None
    headers: dict[str, str] = field(default_factory=dict)
    events: AsyncIterator[Json] | None = None
    chunks: AsyncIterator[bytes] | None = None


class Clock:
    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


class Script:
    """Answers calls one after the other: a list (revision, pods), a list of watch events, or an error."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.queries: list[dict[str, str]] = []

    async def __call__(self, call: Call) -> Given:
        self.queries.append(dict(call.query))
        if not self.steps:
            await asyncio.Event().wait()
        step = self.steps.pop(0)
        if isinstance(step, errors.PolongError):
            raise step
        if isinstance(step, tuple):
            return Given(body={"metadata": {"resourceVersion": str(step[0])}, "items": step[1]})
        return Given(events=self.events(step))

    async def events(self, events: list[Any]) -> AsyncIterator[Json]:
        for event in events:
            if isinstance(event, errors.PolongError):
                raise event
            yield {"type": event[0], "object": event[1]}


async def follow(script: Script, count: int, clock: Clock | None = None) -> list[tuple[str, str]]:
    seen: list[Change] = []
    changes = aiter(
        ListWatch(Client(InProcessTransport(script)), PODS, options=ListOptions(fields="spec.nodeName=n"), clock=clock or Clock())
    )
    async with asyncio.timeout(5):
        while len(seen) < count:
            seen.append(await anext(changes))
    await changes.aclose()
    return [(change.type, change.object.get("metadata", {}).get("name", "")) for change in seen]


async def test_list_then_changes():
    script = Script(
        (5, [pod("a", 3), pod("b", 4)]),
        [("MODIFIED", pod("a", 6)), ("ADDED", pod("c", 7)), ("DELETED", pod("b", 8))],
    )
    assert await follow(script, 6) == [
        ("ADDED", "a"),
        ("ADDED", "b"),
        ("SYNCED", ""),
        ("MODIFIED", "a"),
        ("ADDED", "c"),
        ("DELETED", "b"),
    ]
    assert script.queries[1] == {
        "fieldSelector": "spec.nodeName=n",
        "resourceVersion": "5",
        "watch": "true",
        "allowWatchBookmarks": "true",
    }


async def test_resumes_from_the_last_revision_and_from_bookmarks():
    script = Script((5, []), [("ADDED", pod("a", 6))], [("BOOKMARK", pod("", 50))], [("ADDED", pod("b", 51))])
    assert await follow(script, 3) == [("SYNCED", ""), ("ADDED", "a"), ("ADDED", "b")]
    assert [query.get("resourceVersion") for query in script.queries] == [None, "5", "6", "50"]


@pytest.mark.parametrize("gone", ["status", "event"])
async def test_after_410_only_what_differs_is_told(gone: str):
    expired = {"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old", "metadata": {}}
    broken = errors.Gone("too old", reason="Expired") if gone == "status" else [("ERROR", expired)]
    script = Script(
        (5, [pod("same", 1), pod("changed", 2), pod("lost", 3), pod("remade", 4, "old")]),
        broken,
        (90, [pod("same", 1), pod("changed", 80), pod("new", 81), pod("remade", 82, "new")]),
    )
    assert await follow(script, 5 + 6) == [
        ("ADDED", "same"),
        ("ADDED", "changed"),
        ("ADDED", "lost"),
        ("ADDED", "remade"),
        ("SYNCED", ""),
        ("DELETED", "lost"),
        ("DELETED", "remade"),
        ("MODIFIED", "changed"),
        ("ADDED", "new"),
        ("ADDED", "remade"),
        ("SYNCED", ""),
    ]


async def test_lost_connections_are_waited_out_longer_and_longer():
    clock = Clock()
    down = errors.Unavailable("connection refused")
    script = Script(down, down, down, (5, []), down, [("ADDED", pod("a", 6))], [down], [("ADDED", pod("b", 7))])
    assert await follow(script, 3, clock) == [("SYNCED", ""), ("ADDED", "a"), ("ADDED", "b")]
    assert all(delay <= slept <= 2 * delay for delay, slept in zip((0.8, 1.6, 3.2, 6.4, 0.8), clock.slept, strict=True))


async def test_watches_that_end_at_once_are_not_asked_in_a_tight_loop():
    clock = Clock()
    script = Script((5, []), [], [], [], [("ADDED", pod("a", 6))])
    await follow(script, 2, clock)
    assert len(clock.slept) == 3


async def test_refusals_are_raised():
    with pytest.raises(errors.Forbidden):
        await follow(Script(errors.Forbidden("no")), 1)
