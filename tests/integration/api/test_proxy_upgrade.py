"""WebSocket and other upgrades through pods/proxy: rows 68 and 69 of docs/security.md, with a real server as the Pod's."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from .conftest import Api
from .test_http import MERGE, POD, PODS, client, tls

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def loopback_is_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polong.api.podproxy._allowed", lambda ip: True)


async def behind(api: Api, port: int) -> str:
    """The path of a Pod whose server is at `port` of this machine."""
    async with client(api) as session:
        await session.post(PODS, json=POD)
        body = '{"status": {"phase": "Running", "podIP": "127.0.0.1"}}'
        assert (await session.patch(f"{PODS}/p/status", data=body, headers={"Content-Type": MERGE})).status == 200
    return f"{PODS}/p:{port}/proxy/ws/path?x=1"


@contextlib.asynccontextmanager
async def backend(serve: Serve) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class Echo:
    """A WebSocket server that sends back what it gets and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[web.BaseRequest] = []
        self.ended = asyncio.Event()

    async def __call__(self, request: web.BaseRequest) -> web.WebSocketResponse:
        self.asked.append(request)
        socket = web.WebSocketResponse(protocols=["chat"])
        await socket.prepare(request)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                await socket.send_bytes(message.data)
            elif message.data == "leave":
                break
            else:
                await socket.send_str(message.data)
        await socket.close(code=4001)
        self.ended.set()
        return socket


@contextlib.asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Echo, int]]:
    echo = Echo()
    runner = web.ServerRunner(web.Server(echo))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield echo, runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_a_websocket_goes_both_ways_and_tells_nothing_of_the_caller(api: Api):
    async with echoing() as (echo, port):
        path = await behind(api, port)
        bearer = "base64url.bearer.authorization.k8s.io.c2VjcmV0"
        headers = {"Cookie": "a=b", "X-Own": "1", "X-Remote-User": "root"}
        async with client(api) as session, session.ws_connect(path, protocols=(bearer, "chat"), headers=headers, max_msg_size=0) as socket:
            assert socket.protocol == "chat"
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
            large = bytes(range(256)) * 8192
            await socket.send_bytes(large)
            assert await socket.receive_bytes() == large
            await socket.send_str("leave")
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 4001
        (asked,) = echo.asked
        assert (asked.path_qs, asked.headers["X-Own"], asked.headers["Host"]) == ("/ws/path?x=1", "1", f"127.0.0.1:{port}")
        assert asked.headers["Sec-WebSocket-Protocol"] == "chat"
        assert not {"authorization", "x-remote-user"} & {name.lower() for name in asked.headers}
        # A client that leaves takes the Pod's side with it.
        echo.ended.clear()
        async with client(api) as session:
            await session.ws_connect(path, protocols=("chat",))
        await asyncio.wait_for(echo.ended.wait(), 10)


async def test_who_may_not_gets_no_connection(api: Api):
    async with echoing() as (echo, port):
        path = await behind(api, port)
        for user, code in (("bob", 403), ("", 401)):
            async with client(api, user) as session:
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(path)
                assert refused.value.status == code
        async with client(api) as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(path, origin="https://evil.example")
            assert refused.value.status == 403
        assert echo.asked == []


async def raw(api: Api, path: str, *, then: bytes = b"") -> bytes:
    """What comes back for an upgrade, and for `then` sent after it, until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port, ssl=tls(api.authority, "admin"))
    key = base64.b64encode(b"0" * 16).decode()
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    writer.write(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
    try:
        async with asyncio.timeout(10):
            begin = await reader.readuntil(b"\r\n\r\n")
            with contextlib.suppress(OSError):
                writer.write(then)
                await writer.drain()
            return begin + await reader.read()
    finally:
        writer.close()


REFUSALS = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 5\r\nX-Of: pod\r\n\r\nhello",
    b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\nX-Of: pod\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\nX-Of: pod\r\n\r\nhello",
)


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_68_a_failed_upgrade_leaves_no_tunnel(api: Api, refusal: bytes):
    """CVE-2018-1002105: the Pod refuses and keeps the connection open; the next request on it must reach nobody."""
    seen: list[bytes] = []
    closed = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(refusal)
        with contextlib.suppress(OSError):
            seen.append(await reader.read())
        closed.set()
        writer.close()

    async with backend(refuse) as port:
        answer = await raw(api, await behind(api, port), then=b"GET /secret HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asyncio.wait_for(closed.wait(), 10)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == refusal.split(b"\r\n")[0]
    assert b"X-Of: pod" in head
    assert b"connection: close" in head.lower()
    assert b"keep-alive" not in head.lower()
    assert b"hello" in body
    assert answer.count(b"HTTP/1.1") == 1
    assert b"secret" not in b"".join(seen)
    assert b"authorization" not in seen[0].lower()


async def test_69_a_redirect_is_the_clients_to_follow(api: Api):
    reached = asyncio.Event()

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        writer.close()

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{elsewhere}/\r\nContent-Length: 0\r\n\r\n".encode())
        await reader.read()
        writer.close()

    async with backend(other) as elsewhere, backend(redirect) as port:
        path = await behind(api, port)
        upgraded = await raw(api, path)
        async with client(api) as session, session.get(path, allow_redirects=False) as plain:
            assert plain.status == 302
        await asyncio.sleep(0.2)
    assert upgraded.startswith(b"HTTP/1.1 302 Found\r\n")
    assert b"Location: http://127.0.0.1:" in upgraded
    assert not reached.is_set()


@pytest.mark.parametrize(
    "answer",
    [
        b"not http\r\n\r\n",
        b"HTTP/1.1 999 Odd\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nA: b\nInjected: c\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
        b"",
    ],
    ids=["text", "999", "100", "bare LF", "huge", "nothing"],
)
async def test_what_is_no_answer_is_a_503(api: Api, answer: bytes):
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    async with backend(speak) as port, client(api) as session:
        path = await behind(api, port)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(path)
        assert refused.value.status == 503


async def test_a_pod_that_does_not_listen_is_a_503(api: Api):
    async with backend(lambda reader, writer: asyncio.sleep(0)) as port:
        pass
    path = await behind(api, port)
    async with client(api) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(path)
        assert refused.value.status == 503
