"""pods/resize, eviction, binding and proxy through the door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from copy import deepcopy
from typing import Any

import pytest

from polong.kit.errors import PolongError

from .conftest import Api, pod

Json = dict[str, Any]

POD = "/api/v1/namespaces/default/pods/p"
MERGE = {"content-type": "application/merge-patch+json"}
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}


def sized(**resources: Any) -> Json:
    return {"containers": [{"name": "c", "image": "x:1", "resources": resources}]}


async def resized(api: Api, **resources: Any) -> tuple[int, Json]:
    return await api("PATCH", f"{POD}/resize", {"spec": {"containers": [{"name": "c", "resources": resources}]}}, headers=STRATEGIC)


async def test_resize(api: Api) -> None:
    await api.create(pod(**sized(requests={"cpu": "100m"}, limits={"cpu": "200m"})))
    code, after = await resized(api, requests={"cpu": "150m"}, limits={"cpu": "300m", "memory": "64Mi"})
    assert code == 200, after
    expected = {"requests": {"cpu": "150m", "memory": "64Mi"}, "limits": {"cpu": "300m", "memory": "64Mi"}}
    assert (after["spec"]["containers"][0]["resources"], after["metadata"]["generation"]) == (expected, 2)
    assert (await api("GET", f"{POD}/resize"))[1] == (await api("GET", POD))[1]


async def test_resize_by_put_discards_the_rest(api: Api) -> None:
    made = deepcopy(await api.create(pod(**sized(requests={"cpu": "100m"}))))
    made["spec"]["containers"][0] |= {"image": "other:1", "resources": {"requests": {"cpu": "200m"}}}
    made["metadata"]["labels"] = {"a": "b"}
    code, after = await api("PUT", f"{POD}/resize", made)
    assert code == 200, after
    assert after["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "200m"}}
    assert (after["spec"]["containers"][0]["image"], after["metadata"].get("labels")) == ("x:1", None)


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"requests": {"cpu": "1"}, "limits": {"cpu": "100m"}}, "must be less than or equal to cpu limit of 100m"),
        ({"requests": {"cpu": "100m", "memory": "1Mi"}, "limits": {"cpu": "100m", "memory": "1Mi"}},
         'spec: Invalid value: "Guaranteed": Pod QOS Class may not change as a result of resizing'),
        ({"requests": {"ephemeral-storage": "1Gi"}}, "spec: Forbidden: only cpu and memory resources are mutable\n"),
        ({"limits": None}, "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"),
    ],
)  # fmt: skip
async def test_refused_resizes(api: Api, resources: Json, message: str) -> None:
    await api.create(pod(**sized(requests={"cpu": "50m"}, limits={"cpu": "200m"})))
    code, answer = await resized(api, **resources)
    assert (code, message in answer["message"]) == (422, True), answer["message"]


async def test_resources_change_by_no_other_door(api: Api) -> None:
    await api.create(pod(**sized(requests={"cpu": "100m"})))
    patch = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "200m"}}}]}}
    code, answer = await api("PATCH", POD, patch, headers=STRATEGIC)
    assert (code, '- \t"100m"\n+ \t"200m"' in answer["message"]) == (422, True)


def eviction(**fields: Any) -> Json:
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": "default"}, **fields}


async def test_eviction_is_a_deletion_that_says_why(api: Api) -> None:
    await api.create(pod())
    code, answer = await api("POST", f"{POD}/eviction", eviction(deleteOptions={"gracePeriodSeconds": 7}))
    assert (code, answer["kind"], answer["status"]) == (201, "Status", "Success")
    _, evicted = await api("GET", POD)
    assert evicted["metadata"]["deletionGracePeriodSeconds"] == 7
    (condition,) = [one for one in evicted["status"]["conditions"] if one["type"] == "DisruptionTarget"]
    assert (condition["status"], condition["reason"]) == ("True", "EvictionByEvictionAPI")


async def test_eviction_by_halves(api: Api) -> None:
    await api.create(pod())
    before = await api.storage.revision()
    assert (await api("POST", f"{POD}/eviction", eviction(), dryRun="All"))[0] == 201
    assert await api.storage.revision() == before
    assert (await api("POST", f"{POD}/eviction", {**eviction(), "metadata": {"name": "q"}}))[0] == 400
    assert (await api("POST", f"{POD}/eviction", pod()))[0] == 400
    assert (await api("POST", f"{POD}x/eviction", {**eviction(), "metadata": {}}))[0] == 404
    precondition = eviction(deleteOptions={"preconditions": {"uid": "other"}})
    assert (await api("POST", f"{POD}/eviction", precondition))[0] == 409
    assert (await api("GET", f"{POD}/eviction"))[0] == 405


async def test_drain_finds_evictions_in_discovery(api: Api) -> None:
    _, found = await api("GET", "/api/v1")
    (row,) = [one for one in found["resources"] if one["name"] == "pods/eviction"]
    assert (row["kind"], row["group"], row["version"]) == ("Eviction", "policy", "v1")
    (row,) = [one for one in found["resources"] if one["name"] == "pods/status"]
    assert "group" not in row


async def test_a_binding_comes_too_late(api: Api) -> None:
    await api.create(pod())
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    code, answer = await api("POST", f"{POD}/binding", body)
    assert (code, 'pod p is already assigned to node "n1"' in answer["message"]) == (409, True)


# --- proxy ---------------------------------------------------------------------------------------------------------------------------


class Backend:
    """One HTTP/1.1 server on a loopback address of its own that keeps what it was sent and answers `reply`."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 2\r\n\r\nok"
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = b""
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length: "):
                body = await reader.readexactly(int(line[16:]))
            elif line == b"transfer-encoding: chunked":
                body = await reader.readuntil(b"0\r\n\r\n")
        self.seen.append(head + body)
        writer.write(self.reply.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if head.startswith(b"HEAD") else self.reply)
        await writer.drain()
        writer.close()


@pytest.fixture
async def backend(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Backend]:
    made = Backend()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    monkeypatch.setattr("polong.api.podproxy._allowed", lambda ip: True)
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()


async def running(api: Api, **spec: Any) -> None:
    await api.create(pod(**spec))
    await api("PATCH", f"{POD}/status", {"status": {"phase": "Running", "podIP": "127.0.0.1"}}, headers=MERGE)


async def proxied(api: Api, method: str, path: str, **more: Any) -> tuple[int, bytes, dict[str, str]]:
    response = await api.respond(method, path, **more)
    body = response.body or b""
    if response.chunks is not None:
        body = b"".join([chunk async for chunk in response.chunks])
    assert isinstance(body, bytes)
    return response.status, body, dict(response.headers)


@pytest.mark.parametrize("method", ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"])
async def test_every_method_reaches_the_pod(api: Api, backend: Backend, method: str) -> None:
    await running(api)
    path = f"/api/v1/namespaces/default/pods/p:{backend.port}/proxy/some//path%2Fx"
    headers = {"authorization": "Bearer secret", "x-own": "1", "impersonate-user": "root", "host": "api"}
    code, body, _ = await proxied(api, method, path, headers=headers, a="b c")
    assert (code, body) == (200, b"" if method == "HEAD" else b"ok")
    (seen,) = backend.seen
    line, _, rest = seen.partition(b"\r\n")
    assert line == f"{method} /some//path%2Fx?a=b+c HTTP/1.1".encode()
    assert b"x-own: 1" in rest.lower()
    assert b"secret" not in rest
    assert b"impersonate" not in rest.lower()


async def test_a_body_goes_through(api: Api, backend: Backend) -> None:
    await running(api)

    async def stream() -> AsyncIterator[bytes]:
        yield b"hel"
        yield b"lo"

    await proxied(api, "POST", f"/api/v1/namespaces/default/pods/http:p:{backend.port}/proxy/", body=stream())
    assert b"hel" in backend.seen[0]
    assert b"lo" in backend.seen[0]


async def test_redirects_are_the_clients(api: Api, backend: Backend) -> None:
    await running(api)
    backend.reply = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    code, _, headers = await proxied(api, "GET", f"/api/v1/namespaces/default/pods/p:{backend.port}/proxy/x")
    assert (code, headers["Location"], len(backend.seen)) == (302, "http://169.254.169.254/", 1)
    code, _, headers = await proxied(api, "GET", f"/api/v1/namespaces/default/pods/p:{backend.port}/proxy", a="b")
    assert (code, headers["Location"]) == (301, f"/api/v1/namespaces/default/pods/p:{backend.port}/proxy/?a=b")


async def test_the_first_port_is_the_default(api: Api, backend: Backend) -> None:
    await running(api, containers=[{"name": "c", "image": "x:1", "ports": [{"containerPort": backend.port}]}])
    assert (await proxied(api, "GET", f"{POD}/proxy/"))[:2] == (200, b"ok")


async def test_what_cannot_be_proxied(api: Api) -> None:
    await api.create(pod())
    assert (await api("GET", f"{POD}/proxy/"))[1]["message"] == "address not allowed"
    await api("PATCH", f"{POD}/status", {"status": {"podIP": "127.0.0.1"}}, headers=MERGE)
    assert (await api("GET", f"{POD}/proxy/"))[1]["message"] == "address not allowed"
    await api("PATCH", f"{POD}/status", {"status": {"podIP": "192.0.2.1"}}, headers=MERGE)
    for name in ("a:b:c:d", "ftp:p:1", "p:x", "p:0"):
        assert (await api("GET", f"/api/v1/namespaces/default/pods/{name}/proxy/"))[0] == 400
    assert (await api("GET", "/api/v1/namespaces/default/pods/q:1/proxy/"))[0] == 404
    assert (await api("GET", "/api/v1/nodes/n1/proxy/"))[0] == 404


async def test_a_pod_that_does_not_answer(api: Api, backend: Backend) -> None:
    await running(api)
    backend.reply = b""
    with pytest.raises(PolongError, match="error trying to reach service"):
        await api.respond("GET", f"/api/v1/namespaces/default/pods/p:{backend.port}/proxy/")
