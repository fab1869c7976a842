"""polong.dev/v1alpha1: processes watched, signals and restarts asked for, owners of host PIDs."""

from __future__ import annotations

from typing import Any

import pytest

from polong.api.processes import changes, signal_options
from polong.api.service import Response, User
from polong.kit.errors import BadRequest, NotFound, PolongError
from polong.objects import pod as pods
from polong.objects.podsignal import SignalOptions

from .conftest import Api

Json = dict[str, Any]

BASE = "/apis/polong.dev/v1alpha1"
POD = f"{BASE}/namespaces/default/pods/web"


class FakeNode:
    """Answers with the lists that it is given, the last one for ever."""

    def __init__(self) -> None:
        self.lists: list[list[Json]] = []
        self.calls: list[tuple[Any, ...]] = []

    async def processes(self, pod: Json, *, full: bool = False) -> Json:
        self.calls.append(("processes", pods.name(pod), full))
        items = self.lists.pop(0) if len(self.lists) > 1 else (self.lists or [[]])[0]
        return {"kind": "ProcessList", "apiVersion": "polong.dev/v1alpha1", "metadata": {}, "items": items}

    async def signal(self, pod: Json, options: SignalOptions, user: str = "") -> Json:
        self.calls.append(("signal", pods.name(pod), options, user))
        return {"kind": "Signal", "receivers": []}

    async def restart(self, pod: Json, container: str, user: str = "") -> Json:
        self.calls.append(("restart", pods.name(pod), container, user))
        return {"kind": "Restart"}

    async def owner(self, pid: int, cgroup: str = "", *, killed: bool = False) -> Json:
        if pid == 5:
            raise NotFound("no process has PID 5 on this host")
        return {"kind": "HostProcess", "hostPID": pid, "cgroup": cgroup}


@pytest.fixture
async def node(api: Api) -> FakeNode:
    made = FakeNode()
    api.service.node = made  # type: ignore[assignment]
    body = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "app", "image": "app"}]}}
    await api.create({"apiVersion": "v1", "kind": "Pod", **body})
    return made


def process(pid: int, start: int = 1, **more: Any) -> Json:
    return {"hostPID": pid, "startTicks": start, "cpuSeconds": 0.0, **more}


def test_changes_between_two_looks() -> None:
    known: dict[tuple[int, int], Json] = {}
    assert [each["type"] for each in changes(known, {"items": [process(1), process(2)]})] == ["ADDED", "ADDED"]
    assert changes(known, {"items": [process(1), process(2)]}) == []
    events = changes(known, {"items": [process(1, cpuSeconds=1.0), process(2, start=9)]})
    assert [(each["type"], each["object"]["hostPID"], each["object"]["startTicks"]) for each in events] == [
        ("DELETED", 2, 1),
        ("MODIFIED", 1, 1),
        ("ADDED", 2, 9),
    ]
    assert events[0]["object"]["kind"] == "Process"


async def watched(api: Api, **query: str) -> list[tuple[str, int]]:
    response: Response = await api.respond("GET", f"{POD}/processes", watch="true", interval="0.2", **query)
    assert response.events is not None
    return [(each["type"], each["object"].get("hostPID", 0)) async for each in response.events]


async def test_a_watch_tells_what_changes_and_ends_in_time(api: Api, node: FakeNode) -> None:
    node.lists = [[process(1)], [process(1), process(2)], [process(2)]]
    assert await watched(api, timeoutSeconds="1", full="true") == [("ADDED", 1), ("ADDED", 2), ("DELETED", 1)]
    assert node.calls[0] == ("processes", "web", True)


async def test_a_watch_ends_with_the_pod(api: Api, node: FakeNode) -> None:
    node.lists = [[process(1)]]
    response = await api.respond("GET", f"{POD}/processes", watch="true", interval="0.2")
    assert response.events is not None
    assert (await anext(response.events))["type"] == "ADDED"
    await api("DELETE", "/api/v1/namespaces/default/pods/web", gracePeriodSeconds="0")
    assert [each["type"] async for each in response.events] == ["DELETED"]


@pytest.mark.parametrize("query", [{"interval": "0.01"}, {"interval": "x"}, {"interval": "1e9"}, {"timeoutSeconds": "-1"}])
async def test_a_watch_is_bounded(api: Api, node: FakeNode, query: dict[str, str]) -> None:
    code, document = await api("GET", f"{POD}/processes", watch="true", **query)
    assert code == 400, document


async def test_signal_and_restart(api: Api, node: FakeNode) -> None:
    code, _ = await api("POST", f"{POD}/signal", {"kind": "Signal", "signal": "hup", "container": "app"}, dryRun="All")
    assert code == 201
    assert node.calls == [("signal", "web", SignalOptions(1, "app", dry_run=True), "admin")]
    assert (await api("POST", f"{POD}/restart", {"container": "app"}))[0] == 201
    assert node.calls[-1] == ("restart", "web", "app", "admin")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "the field signal is missing"),
        ({"signal": "NOPE"}, "unknown signal 'NOPE': one of HUP"),
        ({"signal": "0"}, "unknown signal '0'"),
        ({"signal": 1}, "the field signal must be a string"),
        ({"signal": "HUP", "pid": "1"}, "the field pid must be a whole number"),
        ({"signal": "HUP", "pid": True}, "the field pid must be a whole number"),
        ({"signal": "HUP", "pid": -4}, "pid -4 is not a PID"),
        ({"signal": "HUP", "pid": 4, "all": True}, "choose by pid or by all, not by both"),
        ({"signal": "HUP", "match": "a" * 300}, "match may have at most 256 characters"),
        ({"signal": "HUP", "conatiner": "x"}, 'unknown field "conatiner"'),
    ],
)
def test_wrong_bodies(body: Json, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        signal_options(body)
    assert text in caught.value.message


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", f"{POD}/processes", {}, 405),
        ("GET", f"{POD}/signal", None, 405),
        ("POST", f"{POD}/signal", b"[]", 400),
        ("GET", f"{POD}/nothing", None, 404),
        ("POST", POD.replace("web", "gone") + "/signal", {"signal": "HUP"}, 404),
        ("GET", f"{BASE}/hostprocesses/5", None, 404),
        ("GET", f"{BASE}/hostprocesses/x", None, 400),
        ("GET", f"{BASE}/hostprocesses/99999999999", None, 400),
        ("DELETE", f"{BASE}/hostprocesses/7", None, 405),
        ("GET", f"{BASE}/hostprocesses/7", None, 200),
    ],
)
async def test_doors_and_errors(api: Api, node: FakeNode, method: str, path: str, body: Any, code: int) -> None:
    assert (await api(method, path, body))[0] == code


async def test_only_administrators(api: Api, node: FakeNode) -> None:
    for method, path, verb in (("POST", f"{POD}/signal", "create"), ("GET", f"{POD}/processes", "get")):
        with pytest.raises(PolongError, match=f'User "joe" cannot {verb} resource "pods/'):
            await api.respond(method, path, {"signal": "HUP"}, user=User("joe"))
    with pytest.raises(PolongError, match='cannot watch resource "pods/processes"'):
        await api.respond("GET", f"{POD}/processes", user=User("joe"), watch="true")
    assert node.calls == []


async def test_discovery_and_openapi_name_them(api: Api, node: FakeNode) -> None:
    _, listed = await api("GET", BASE)
    verbs = {each["name"]: each["verbs"] for each in listed["resources"]}
    assert (verbs["pods/processes"], verbs["pods/signal"], verbs["pods/restart"]) == (["get", "watch"], ["create"], ["create"])
    _, document = await api("GET", f"/openapi/v3{BASE}")
    assert set(document["paths"]) >= {
        f"{BASE}/namespaces/{{namespace}}/pods/{{name}}/{each}" for each in ("processes", "signal", "restart")
    }
