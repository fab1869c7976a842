"""polong.dev/v1alpha1 pods/access and pods/files: asked for, refused, discovered, described."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from polong.api.inspection import streams_body
from polong.api.ports import Inspector
from polong.api.service import User
from polong.kit.errors import Forbidden, Unauthorized
from polong.objects import pod as pods
from polong.objects.podfiles import FileOptions

from .conftest import Api, pod

Json = dict[str, Any]

BASE = "/apis/polong.dev/v1alpha1"
POD = f"{BASE}/namespaces/default/pods/p"


class FakeInspector:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    async def access(self, pod: Json, source: str = "", target: str = "") -> Json:
        self.calls.append(("access", pods.name(pod), source, target))
        return {"kind": "PodAccess", "items": []}

    async def files(self, pod: Json, container: str, options: FileOptions) -> tuple[Json, AsyncIterator[bytes] | None]:
        self.calls.append(("files", pods.name(pod), container, options))

        async def body() -> AsyncIterator[bytes]:
            yield b"\x00bytes"

        return {"kind": "PodFile"}, body() if options.op in ("read", "archive") else None

    async def write_file(self, pod: Json, container: str, path: str, mode: int, data: AsyncIterator[bytes], expected: str = "") -> Json:
        self.calls.append(("write", pods.name(pod), container, path, mode, b"".join([chunk async for chunk in data])))
        return {"kind": "PodFile"}

    async def write_tree(self, pod: Json, container: str, path: str, archive: AsyncIterator[bytes]) -> Json:
        self.calls.append(("extract", pods.name(pod), container, path, b"".join([chunk async for chunk in archive])))
        return {"kind": "PodFile"}


_inspector: type[Inspector] = FakeInspector


@pytest.fixture
async def inspector(api: Api) -> FakeInspector:
    made = FakeInspector()
    api.service.inspector = made
    await api.create(pod())
    return made


async def test_access_between_two(api: Api, inspector: FakeInspector) -> None:
    assert await api("GET", f"{POD}/access", **{"from": "a", "to": "b"}) == (200, {"kind": "PodAccess", "items": []})
    assert inspector.calls == [("access", "p", "a", "b")]


async def test_files_are_told_and_streamed(api: Api, inspector: FakeInspector) -> None:
    assert (await api("GET", f"{POD}/files", path="/x", op="list", container="c"))[0] == 200
    response = await api.respond("GET", f"{POD}/files", path="/x", op="read", limit="5")
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.chunks is not None
    assert [chunk async for chunk in response.chunks] == [b"\x00bytes"]
    assert inspector.calls[1][3] == FileOptions("/x", "read", limit=5)


async def test_a_file_is_written(api: Api, inspector: FakeInspector) -> None:
    assert (await api("POST", f"{POD}/files", b"data", path="/x", mode="600"))[0] == 201
    assert inspector.calls == [("write", "p", "", "/x", 0o600, b"data")]


async def test_a_tree_goes_as_an_archive(api: Api, inspector: FakeInspector) -> None:
    assert (await api("POST", f"{POD}/files", b"tar", path="/d", op="extract"))[0] == 201
    assert inspector.calls == [("extract", "p", "", "/d", b"tar")]
    response = await api.respond("GET", f"{POD}/files", path="/d", op="archive")
    assert response.headers["Content-Type"] == "application/x-tar"
    for query in ({"op": "else"}, {"op": "extract", "mode": "600"}, {"op": "extract", "expected": "1"}):
        assert (await api("POST", f"{POD}/files", b"", path="/d", **query))[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "query", "code"),
    [
        ("GET", f"{POD}/access", {"verify": "true"}, 400),
        ("GET", f"{POD}/files", {}, 400),
        ("GET", f"{POD}/files", {"path": "relative"}, 400),
        ("POST", f"{POD}/files", {"path": "/x", "mode": "4755"}, 400),
        ("PUT", f"{POD}/access", {}, 405),
        ("DELETE", f"{POD}/files", {"path": "/x"}, 405),
        ("GET", f"{BASE}/namespaces/default/pods/none/access", {}, 404),
        ("GET", f"{BASE}/namespaces/default/pods/none/files", {"path": "/x"}, 404),
    ],
)
async def test_what_is_wrong_is_refused(
    api: Api, inspector: FakeInspector, method: str, path: str, query: dict[str, str], code: int
) -> None:
    assert (await api(method, path, b"" if method == "POST" else None, **query))[0] == code
    assert inspector.calls == []


async def test_before_the_node_runs_it_is_not_there(api: Api) -> None:
    await api.create(pod())
    assert (await api("GET", f"{POD}/access"))[0] == 503


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_nobody_else_may(api: Api, inspector: FakeInspector, method: str) -> None:
    with pytest.raises(Unauthorized):
        await api.respond(method, f"{POD}/files", user=None, path="/x")
    with pytest.raises(Forbidden, match='resource "pods/files" in API group'):
        await api.respond(method, f"{POD}/files", user=User("guest"), path="/x")
    assert inspector.calls == []


async def test_it_is_discovered_and_described(api: Api) -> None:
    _, found = await api("GET", BASE)
    verbs = {row["name"]: row["verbs"] for row in found["resources"]}
    assert verbs["pods/access"] == ["create", "get"]
    assert verbs["pods/files"] == ["create", "get"]
    response = await api.respond("GET", "/openapi/v3/apis/polong.dev/v1alpha1")
    assert isinstance(response.body, bytes)
    document = msgspec.json.decode(response.body)
    base = f"{BASE}/namespaces/{{namespace}}/pods/{{name}}"
    assert set(document["paths"][f"{base}/files"]) == {"get", "post", "parameters"}
    assert "dev.polong.v1alpha1.PodAccess" in document["components"]["schemas"]


def test_only_a_file_streams_in() -> None:
    assert streams_body("POST", f"{POD}/files")
    assert not streams_body("GET", f"{POD}/files")
    assert not streams_body("POST", "/api/v1/namespaces/default/pods/files")
