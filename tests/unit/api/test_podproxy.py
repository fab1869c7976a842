"""pods/proxy: requests to a Pod, and nothing of who sent them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from polong.kit.errors import PolongError

from .conftest import Api, pod

POD = "/api/v1/namespaces/default/pods/p"
MERGE = {"content-type": "application/merge-patch+json"}


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
