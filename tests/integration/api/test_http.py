"""The rim itself: certificates, bounds, streams, the end."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from polong.api import http

from .conftest import Api, Authority

PODS = "/api/v1/namespaces/default/pods"
IMAGES = "/apis/polong.dev/v1alpha1"
MERGE = "application/merge-patch+json"
POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}


def tls(authority: Authority, user: str = "", folder: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.folder / "ca.crt"))
    if user:
        where = folder or authority.folder
        context.load_cert_chain(where / f"{user}.crt", where / f"{user}.key")
    return context


@contextlib.asynccontextmanager
async def client(api: Api, user: str = "admin", **more: Any) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=tls(api.authority, user, **more))
    async with aiohttp.ClientSession(api.url, connector=connector, timeout=aiohttp.ClientTimeout(20)) as session:
        yield session


async def test_certificates_decide(api: Api, tmp_path: Path) -> None:
    async with client(api, "") as anonymous:
        assert (await anonymous.get("/version")).status == 200
        answer = await anonymous.get(PODS)
        assert (answer.status, (await answer.json())["reason"]) == (401, "Unauthorized")
        assert (await anonymous.post(f"{IMAGES}/imageimports", data=b"x")).status == 401
    async with client(api, "bob") as bob:
        answer = await bob.get(PODS)
        assert (answer.status, (await answer.json())["reason"]) == (403, "Forbidden")
    foreign = Authority.make(tmp_path, "foreign")
    foreign.issue("admin", "admin", "system:masters")
    with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
        async with client(api, "admin", folder=tmp_path) as stranger:
            await stranger.get(PODS)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "127.0.0.1"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://localhost:9"}, 200),
    ],
)
async def test_browsers_of_other_sites_are_kept_out(api: Api, headers: dict[str, str], code: int) -> None:
    async with client(api) as session:
        assert (await session.get(PODS, headers=headers)).status == code


async def test_bodies_are_bounded(api: Api) -> None:
    async with client(api) as session:
        answer = await session.post(PODS, data=io.BytesIO(b" " * (http.MAX_BODY + 1)))
        assert (answer.status, (await answer.json())["reason"]) == (413, "RequestEntityTooLarge")

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b" " * 65536

        with contextlib.suppress(aiohttp.ClientError):
            assert (await session.post(PODS, data=endless())).status == 413
        assert (await session.post(PODS, data=b"x", headers={"Content-Encoding": "gzip"})).status == 415
        assert (await session.get(PODS)).status == 200


async def test_images_stream_in_and_out(api: Api) -> None:
    async def archive() -> AsyncIterator[bytes]:
        for _ in range(80):
            yield b"x" * 65536

    async with client(api) as session:
        answer = await session.post(f"{IMAGES}/imageimports", data=archive())
        assert [json.loads(line) for line in (await answer.read()).splitlines()] == [{"status": "done", "image": "x"}]
        assert api.images.imported == 80 * 65536 > http.MAX_BODY
        answer = await session.get(f"{IMAGES}/imageexports", params={"image": "docker.io/library/nginx:latest"})
        assert (answer.headers["Content-Type"], len(await answer.read())) == ("application/x-tar", 3003)
        assert (await session.get(f"{IMAGES}/imageexports", params={"image": "nope"})).status == 404
        assert (await session.get(f"{IMAGES}/imageexports")).status == 400
        answer = await session.post(f"{IMAGES}/imagepulls", json={"image": "bad"})
        lines = [json.loads(line) for line in (await answer.read()).splitlines()]
        assert (lines[0], lines[1]["kind"], lines[1]["code"]) == ({"status": "pulling"}, "Status", 404)
        assert (await session.post(f"{IMAGES}/imagepulls", json={})).status == 400
        assert (await session.post(f"{IMAGES}/imagepulls", json={"image": "x", "nope": 1})).status == 400
        assert (await (await session.get(f"{IMAGES}/images")).json())["items"][0]["kind"] == "Image"
        assert (await session.delete(f"{IMAGES}/images", params={"image": "nope"})).status == 404
        assert (await session.delete(f"{IMAGES}/images", params={"image": "docker.io/library/nginx:latest"})).status == 200


async def test_a_watch_ends_well_when_the_server_stops(api: Api) -> None:
    async with client(api) as session:
        answer = await session.get(PODS, params={"watch": "1"})
        await session.post(PODS, json=POD)
        assert json.loads(await answer.content.readline())["type"] == "ADDED"
        began = time.monotonic()
        stopping = asyncio.gather(api.server.stop())
        assert await answer.content.read() == b""  # a clean end of the body: no error of a cut connection
        await stopping
        assert time.monotonic() - began < 3


async def test_a_client_that_leaves_ends_its_watch(api: Api) -> None:
    async with client(api) as session:
        answer = await session.get(PODS, params={"watch": "1"})
        assert len(api.server._streams) == 1
        answer.close()
    async with asyncio.timeout(5):
        while api.server._streams:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)


async def test_follow_ends_with_the_client(api: Api) -> None:
    async with client(api) as session:
        await session.post(PODS, json=POD)
        answer = await session.get(f"{PODS}/p/log", params={"follow": "true"})
        assert answer.headers["Content-Type"] == "text/plain"
        assert await answer.content.readline() == b"hello from c tail=None\n"
        answer.close()
    async with asyncio.timeout(5):
        while api.server._streams:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)


async def test_logs_over_websocket(api: Api) -> None:
    async with client(api) as session:
        await session.post(PODS, json=POD)
        async with session.ws_connect(f"{PODS}/p/log", protocols=["binary.k8s.io"]) as socket:
            received = b"".join([message.data async for message in socket])
        assert received == b"hello from c tail=None\n"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"tailLines": "-1"}, 422),
        ({"sinceSeconds": "0"}, 422),
        ({"limitBytes": "0"}, 422),
        ({"tailLines": "x"}, 400),
        ({"container": "z"}, 400),
    ],
)
async def test_log_options(api: Api, query: dict[str, str], code: int) -> None:
    async with client(api) as session:
        await session.post(PODS, json=POD)
        assert (await session.get(f"{PODS}/p/log", params=query)).status == code


async def raw(api: Api, request: bytes, wait: float = 5) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port, ssl=tls(api.authority, "admin"), server_hostname="localhost")
    try:
        writer.write(request)
        async with asyncio.timeout(wait):
            return await reader.read(65536)
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
    ],
)
async def test_broken_http_is_a_400(api: Api, request_: bytes) -> None:
    assert b" 400 " in (await raw(api, request_)).split(b"\r\n")[0]


async def test_expect_continue(api: Api) -> None:
    head = f"POST {PODS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n".encode()
    assert (await raw(api, head)).startswith(b"HTTP/1.1 100 Continue")


async def test_watches_that_nobody_reads_hold_no_writer_up(api: Api) -> None:
    """Cheap calls in great number: idle watches, and one whose client never reads while much happens."""
    connector = aiohttp.TCPConnector(ssl=tls(api.authority, "admin"), limit=0)
    async with aiohttp.ClientSession(api.url, connector=connector, timeout=aiohttp.ClientTimeout(60)) as session, client(api) as other:
        idle = [await session.get(PODS, params={"watch": "1"}) for _ in range(120)]
        slow = await session.get(PODS, params={"watch": "1"})
        took = []
        for number in range(20):
            pod = {**POD, "metadata": {"name": f"p{number}", "annotations": {"much": "x" * 100_000}}}
            began = time.monotonic()
            assert (await other.post(PODS, json=pod)).status == 201
            took.append(time.monotonic() - began)
        assert sorted(took)[len(took) // 2] < 1
        assert (await other.get(PODS, params={"limit": "1"})).status == 200
        for answer in (*idle, slow):
            answer.close()
    async with asyncio.timeout(10):
        while api.server._streams:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
