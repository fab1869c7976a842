"""The transport without an event loop: what it reads, what it refuses to read, and what it says then."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from polong.client import Call, Client
from polong.client.direct import DirectTransport, drive
from polong.kit import errors
from polong.objects.gvk import PODS

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"kind":"Pod"}'


class Server:
    """Answers each connection with the texts of `script`, one for each request; remembers the requests."""

    def __init__(self, *script: bytes, connections: int = 1) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.requests: list[bytes] = []
        self.accepted = 0
        self._script, self._connections = script, connections
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for _ in range(self._connections):
            with contextlib.suppress(OSError), self.listener.accept()[0] as connection:
                self.accepted += 1
                for text in self._script:
                    self.requests.append(self._request(connection))
                    if not self.requests[-1]:
                        break
                    connection.sendall(text)

    @staticmethod
    def _request(connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data and not data.startswith(b"\x16"):  # the first byte of TLS
            if not (more := connection.recv(65536)):
                return data
            data += more
        return data

    def close(self) -> None:
        self.listener.close()
        self._thread.join(5)
        assert not self._thread.is_alive()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def start(*script: bytes, connections: int = 1) -> Server:
        made.append(Server(*script, connections=connections))
        return made[-1]

    yield start
    for each in made:
        with contextlib.suppress(OSError):
            socket.create_connection(each.listener.getsockname(), 1).close()
        each.close()


def get(url: str, *, timeout: float = 5, method: str = "GET") -> bytes:
    async def ask() -> bytes:
        transport = DirectTransport(url, timeout=timeout)
        try:
            async with await transport.call(Call(method, "/x")) as answer:
                return await answer.data()
        finally:
            await transport.aclose()

    return drive(ask())


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", b"body"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil it closes", b"until it closes"),
        (b"HTTP/1.0 200\r\n\r\nold", b"old"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\n", b"abc0123456789"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
def test_bodies_end_where_http_says(serve, answer: bytes, body: bytes) -> None:
    server = serve(answer)
    assert get(server.url) == body


def test_an_answer_to_head_has_no_body(serve) -> None:
    assert get(serve(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n").url, method="HEAD") == b""


def test_connections_are_kept_and_stale_ones_replaced(serve) -> None:
    server = serve(OK, OK, connections=2)

    async def four() -> None:
        async with Client(DirectTransport(server.url)) as client:
            for _ in range(4):
                assert await client.get(PODS, "p", "default") == {"kind": "Pod"}

    drive(four())
    assert server.accepted == 2
    assert server.requests[0].startswith(b"GET /api/v1/namespaces/default/pods/p HTTP/1.1\r\nhost: 127.0.0.1:")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
    ],
)
def test_bad_answers_are_one_clear_error(serve, answer: bytes) -> None:
    with pytest.raises(errors.Unavailable, match="cannot talk to http://") as raised:
        get(serve(answer).url)
    assert "\n" not in str(raised.value)


def test_silence_and_absence(serve) -> None:
    server = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", OK)
    with pytest.raises(errors.DeadlineExceeded, match=r"did not answer within 0\.2 s"):
        get(server.url, timeout=0.2)
    closed = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    closed.close()
    with pytest.raises(errors.Unavailable, match="connection refused; is the server running"):
        get(address)


def test_plain_text_where_tls_is_expected(serve) -> None:
    server = serve(OK)
    with pytest.raises(errors.Unavailable, match="TLS failed"):
        get(server.url.replace("http", "https"))


def test_a_head_cannot_be_forged() -> None:
    for call in (Call("GET", "/", headers={"a": "b\r\nc: d"}), Call("GET", "/a b"), Call("GET", "/\r\n")):
        with pytest.raises(errors.BadRequest, match="line ends"):
            drive(DirectTransport("http://127.0.0.1:9").call(call))


def test_work_that_waits_is_told_apart() -> None:
    with pytest.raises(RuntimeError, match="event loop"):
        drive(asyncio.sleep(0.01))
