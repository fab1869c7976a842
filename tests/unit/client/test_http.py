"""The HTTP transport where servers misbehave."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from polong.client import Call, Client
from polong.client.http import HTTPTransport
from polong.kit import errors
from polong.objects.gvk import PODS

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    writers: list[asyncio.StreamWriter] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        for writer in writers:
            writer.transport.abort()
        await listener.wait_closed()
        await asyncio.sleep(0)


async def request(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def says(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer)
        await writer.drain()

    return serve


OK = b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"kind":"Pod"}'


async def test_connections_are_reused_and_stale_ones_replaced():
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for _ in range(3):
            await request(reader)
            writer.write(OK)
            await writer.drain()

    async with server(serve) as url, Client(HTTPTransport(url)) as client:
        for _ in range(6):
            assert await client.get(PODS, "p", "default") == {"kind": "Pod"}
    assert connections == 2


async def test_half_read_answers_do_not_poison_the_next():
    async with (
        server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhalf")) as url,
        contextlib.aclosing(HTTPTransport(url)) as transport,
    ):
        for _ in range(2):
            async with await transport.call(Call("GET", "/")) as answer:
                assert await anext(aiter(answer.chunks())) == b"half"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", errors.Unavailable),
        (b"garbage\r\n\r\n", errors.Unavailable),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, errors.Unavailable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", errors.Unavailable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{{{", errors.Internal),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", errors.Internal),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops", errors.Internal),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n[]", errors.NotFound),
        (b'HTTP/1.1 409 Conflict\r\nContent-Length: 48\r\n\r\n{"kind":"Status","reason":"AlreadyExists"}      ', errors.AlreadyExists),
    ],
)
async def test_bad_answers_are_one_clear_error(answer: bytes, expected: type[errors.PolongError]):
    async with server(says(answer)) as url, Client(HTTPTransport(url, timeout=5)) as client:
        with pytest.raises(expected) as raised:
            await client.get(PODS, "p", "default")
    assert "\n" not in str(raised.value)


async def test_nobody_there():
    async with server(says(OK)) as url:
        pass
    async with Client(HTTPTransport(url)) as client:
        with pytest.raises(errors.Unavailable, match="connection refused; is the server running"):
            await client.get(PODS, "p", "default")


async def test_silence_is_bounded():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with server(serve) as url, Client(HTTPTransport(url, timeout=0.1)) as client:
        with pytest.raises(errors.DeadlineExceeded, match=r"did not answer within 0\.1 s"):
            await client.get(PODS, "p", "default")


async def test_plain_text_where_tls_is_expected():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        await reader.read()

    async with server(serve) as url:
        tls = HTTPTransport(url.replace("http", "https"), tls=ssl.create_default_context())
        async with Client(tls) as client:
            with pytest.raises(errors.Unavailable, match="TLS failed"):
                await client.get(PODS, "p", "default")


async def test_events_without_separators():
    body = b'{"type":"ADDED","object":{"a":1}}{"type":"ADDED","object":{"a":2}}\n{"type":"ADDED","object":{"a":3}}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with server(says(answer)) as url, Client(HTTPTransport(url)) as client:
        assert [obj["a"] async for _, obj in client.watch(PODS)] == [1, 2, 3]


async def test_watch_that_breaks_is_unavailable():
    answer = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12\r\n{"type":"ADDED","o\r\n'
    async with server(says(answer)) as url, Client(HTTPTransport(url)) as client:
        with pytest.raises(errors.Unavailable):
            await anext(client.watch(PODS))


@pytest.mark.parametrize("address", ["", "127.0.0.1:6443", "ftp://x", "https://"])
def test_wrong_addresses(address: str):
    with pytest.raises(errors.BadRequest, match="must be https://host:port"):
        HTTPTransport(address)
