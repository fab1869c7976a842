"""Our own client, the legacy subprotocols, and clients that misbehave."""

import asyncio
import base64
import contextlib
import datetime
import json
import os
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from polong.client import Client, portforward
from polong.client import exec as execs
from polong.client.http import HTTPTransport
from polong.kit import errors
from polong.kit.stdio import Pipe, Stdio, TerminalSize
from polong.remotecommand import spdy

PATH = "/api/v1/namespaces/default/pods/p"


@pytest.fixture
async def client(streaming) -> AsyncIterator[Client]:
    async with Client(HTTPTransport(streaming.url)) as client:
        yield client


async def read_all(pipe: Pipe) -> bytes:
    data = b""
    while piece := await pipe.read():
        data += piece
    return data


async def text_pipe(text: bytes) -> Pipe:
    pipe = Pipe()
    await pipe.write(text)
    await pipe.close()
    return pipe


# --- our client ---------------------------------------------------------------------------------------------------------------


async def test_execute(client: Client):
    out, err = Pipe(), Pipe()
    code = await execs.execute(client, "p", "default", ["both"], Stdio(stdout=out, stderr=err), container="c")
    assert (code, await read_all(out), await read_all(err)) == (0, b"to stdout\n", b"to stderr\n")
    assert await execs.execute(client, "p", "default", ["exit", "42"], Stdio(stdout=Pipe()), container="c") == 42


async def test_execute_with_stdin_that_ends(client: Client):
    out = Pipe()
    text = b"abc" * 30_000
    assert await execs.execute(client, "p", "default", ["cat"], Stdio(stdin=await text_pipe(text), stdout=out), container="c") == 0
    assert await read_all(out) == text


async def test_execute_in_a_terminal(client: Client):
    async def sizes() -> AsyncIterator[TerminalSize]:
        yield TerminalSize(80, 24)
        await asyncio.sleep(0.05)
        yield TerminalSize(99, 24)

    out = Pipe()
    stdio = Stdio(stdin=Pipe(), stdout=out, resize=sizes(), tty=True)
    assert await execs.execute(client, "p", "default", ["sizes"], stdio, container="t") == 3
    assert (await read_all(out)).endswith(b"size 99x24\r\n")


async def test_execute_is_refused(client: Client):
    with pytest.raises(errors.BadRequest, match="container nosuch is not valid for pod p"):
        await execs.execute(client, "p", "default", ["both"], Stdio(stdout=Pipe()), container="nosuch")
    with pytest.raises(errors.Internal, match="cannot run missing: no such file"):
        await execs.execute(client, "p", "default", ["missing"], Stdio(stdout=Pipe()), container="c")


async def test_execute_is_cancelled(client: Client, streaming, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("polong.streaming.session.DRAIN_SECONDS", 0.1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await execs.execute(client, "p", "default", ["hang"], Stdio(stdin=Pipe(), stdout=Pipe()), container="c")
    await until_idle(streaming)
    assert streaming.node.ended == ["hang CancelledError"]


async def test_attach(client: Client):
    out = Pipe()
    assert await execs.attach(client, "p", "default", Stdio(stdin=await text_pipe(b"quit"), stdout=out), container="c") == 0
    assert await read_all(out) == b"hello from c\r\n<quit>\r\n"


@pytest.fixture(params=["tunnel", "channels"])
def forwarding(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "channels":  # an older server
        monkeypatch.setattr("polong.client.portforward._OFFERED", ("SPDY/9+nosuch", "v4.channel.k8s.io"))
    return request.param


async def test_forward(client: Client, forwarding: str):
    request, answer = Pipe(), Pipe(window=1 << 20)
    await request.write(b"GET / HTTP/1.1\r\n\r\n")
    await portforward.forward(client, "p", "default", 80, Stdio(stdin=request, stdout=answer))
    assert (await read_all(answer)).endswith(b"y" * 300_000)
    with pytest.raises(errors.Unavailable, match="connection refused"):
        await portforward.forward(client, "p", "default", 81, Stdio(stdin=request, stdout=Pipe()))


async def test_forward_tells_the_end_of_one_direction(client: Client):
    answer = Pipe(window=1 << 20)
    text = b"abc" * 100_000
    async with asyncio.timeout(5):
        await portforward.forward(client, "p", "default", 82, Stdio(stdin=await text_pipe(text), stdout=answer))
    assert await read_all(answer) == text


# --- WebSocket ----------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def websocket(url: str, path: str, *protocols: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session, session.ws_connect(url + PATH + path, protocols=protocols) as connection:
        yield connection


async def messages(connection: aiohttp.ClientWebSocketResponse) -> dict[int, bytes]:
    """What came on each channel, to the end, which must be a normal close."""
    found: dict[int, bytes] = {}
    async for message in connection:
        if message.type is aiohttp.WSMsgType.TEXT:
            channel, data = int(message.data[0]), base64.b64decode(message.data[1:])
        else:
            channel, data = message.data[0], message.data[1:]
        found[channel] = found.get(channel, b"") + data
    assert connection.close_code == 1000
    return found


@pytest.mark.parametrize(
    "protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io", ""]
)
async def test_every_subprotocol(streaming, protocol: str):
    offered = [protocol] if protocol else []
    async with websocket(streaming.url, "/exec?container=c&command=both&stdout=1&stderr=1", *offered) as connection:
        assert (connection.protocol or "") == protocol
        found = await messages(connection)
    assert (found[1], found[2]) == (b"to stdout\n", b"to stderr\n")
    if protocol.startswith(("v5", "v4")):
        assert json.loads(found[3])["status"] == "Success"
    async with websocket(streaming.url, "/exec?container=c&command=exit&command=9&stdout=1", *offered) as connection:
        found = await messages(connection)
    if protocol.startswith(("v5", "v4")):
        assert json.loads(found[3])["details"]["causes"] == [{"reason": "ExitCode", "message": "9"}]
    else:
        assert b"exit status 9" in found[3]


@pytest.mark.parametrize("protocol", ["v4.base64.channel.k8s.io", "channel.k8s.io"])
async def test_stdin_of_the_legacy_subprotocols(streaming, protocol: str):
    async with websocket(streaming.url, "/attach?container=c&stdin=1&stdout=1", protocol) as connection:
        if "base64" in protocol:
            await connection.send_str("0" + base64.b64encode(b"quit").decode())
        else:
            await connection.send_str("\0quit")  # some clients send text on binary channels
        assert (await messages(connection))[1] == b"hello from c\r\n<quit>\r\n"


async def test_unknown_subprotocol_is_refused(streaming):
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with websocket(streaming.url, "/exec?container=c&command=both&stdout=1", "chat"):
            pass
    assert refused.value.status == 400


@pytest.mark.parametrize("upgrade", [{}, {"Connection": "Upgrade", "Upgrade": "h2c"}, {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}])
async def test_no_known_upgrade_is_an_ordinary_status(streaming, upgrade: dict[str, str]):
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{streaming.url}{PATH}/exec?container=c&command=both&stdout=1", headers=upgrade) as answer,
    ):
        status = await answer.json()
    assert (answer.status, status["kind"]) in ((400, "Status"), (403, "Status"))
    assert "unable to upgrade" in status["message"]


@pytest.mark.parametrize("protocol", ["binary.k8s.io", "base64.binary.k8s.io", ""])
async def test_log_over_websocket(streaming, protocol: str):
    async with websocket(streaming.url, "/log?container=c", *([protocol] if protocol else [])) as connection:
        found = [message.data async for message in connection]
        assert connection.close_code == 1000
    text = b"".join(base64.b64decode(one) if isinstance(one, str) else one for one in found)
    assert text == b"first line\nlast line\n"


async def test_log_reader_that_leaves(streaming):
    async with websocket(streaming.url, "/log?container=c&follow=true", "binary.k8s.io") as connection:
        assert await connection.receive_bytes() == b"first line\n"


async def test_port_forward_channels(streaming):
    async with websocket(streaming.url, "/portforward?ports=82,81", "v4.channel.k8s.io") as connection:
        found: dict[int, bytes] = {}
        await connection.send_bytes(b"\x00hello")
        while len(found.get(0, b"")) < 7 or len(found.get(3, b"")) < 3:
            message = await connection.receive_bytes(timeout=5)
            found[message[0]] = found.get(message[0], b"") + message[1:]
    assert found[0] == struct.pack("<H", 82) + b"hello"
    assert found[1] == struct.pack("<H", 82)
    assert found[2] == struct.pack("<H", 81)
    assert found[3].startswith(struct.pack("<H", 81) + b"error forwarding port 81 to pod p, uid u1")


async def test_stdin_without_taker_keeps_the_client_alive(streaming, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("polong.streaming.websocket.PONG_SECONDS", 0.05)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"{streaming.url}{PATH}/exec?container=c&command=late&stdin=1&stdout=1", protocols=["v5.channel.k8s.io"], autoping=False
        ) as connection,
    ):
        for _ in range(20):
            await connection.send_bytes(b"\0" + b"x" * 32_768)
        assert (await connection.receive(timeout=5)).type is aiohttp.WSMsgType.PONG
        streaming.node.release.set()
        await connection.send_bytes(b"\xff\x00")
        while (message := await connection.receive(timeout=5)).type is aiohttp.WSMsgType.PONG:
            pass
    assert message.data == b"\1%d\n" % (20 * 32_768)


async def test_too_large_message_ends_the_session(streaming):
    async with websocket(streaming.url, "/exec?container=c&command=count&stdin=1&stdout=1", "v5.channel.k8s.io") as connection:
        await connection.send_bytes(b"\0" + b"x" * (2 << 20))
        with contextlib.suppress(asyncio.CancelledError):
            async for _ in connection:
                pass
    await until_idle(streaming)


# --- SPDY ---------------------------------------------------------------------------------------------------------------------


class RawSpdy:
    """A SPDY client on a bare socket, which may do anything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.session = spdy.Session(server=False)

    async def events(self) -> list[spdy.Event]:
        async with asyncio.timeout(5):
            data = await self.reader.read(65536)
        return self.session.receive(data)

    async def reset_connection(self) -> None:
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def raw_spdy(port: int, path: str, version: str = "v4.channel.k8s.io") -> AsyncIterator[RawSpdy]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(
            f"POST {PATH}{path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            f"X-Stream-Protocol-Version: {version}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert f"X-Stream-Protocol-Version: {version}".encode() in head
        yield RawSpdy(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_taking_over_a_tls_connection(streaming, tmp_path: Path):
    """aiohttp gives no promise about set_protocol: this guards it, after an ordinary request on the same connection."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(hours=1))
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    listener = await asyncio.get_running_loop().create_server(streaming.server, "127.0.0.1", 0, ssl=tls)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.sockets[0].getsockname()[1], ssl=trusting)
    try:
        writer.write(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(re.search(rb"Content-Length: (\d+)", head)[1]))
        writer.write(
            f"POST {PATH}/portforward HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            "X-Stream-Protocol-Version: portforward.k8s.io\r\nContent-Length: 0\r\n\r\n".encode()
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        session = spdy.Session(server=False)
        headers = {"port": "82", "requestID": "0"}
        writer.write(session.open({"streamType": "error", **headers})[1])
        data, frame = session.open({"streamType": "data", **headers})
        writer.write(frame)
        sent, received = os.urandom(1 << 20), bytearray()

        async def send() -> None:
            for at in range(0, len(sent), 32_768):
                writer.write(session.data(data, sent[at : at + 32_768], finished=at + 32_768 >= len(sent)))
                await writer.drain()

        async def receive() -> None:
            while len(received) < len(sent):
                for event in session.receive(await reader.read(65536)):
                    if isinstance(event, spdy.DataReceived):
                        received.extend(event.data)

        async with asyncio.timeout(10):
            await asyncio.gather(send(), receive())
        assert bytes(received) == sent
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        listener.close()
        await listener.wait_closed()


async def until_idle(streaming) -> None:
    async with asyncio.timeout(10):
        while streaming.node.running:  # noqa: ASYNC110 - the other side of a socket
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("version", ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io"])
async def test_spdy_versions(streaming, version: str):
    async with raw_spdy(streaming.port, "/exec?container=c&command=exit&command=9&stdout=1", version) as client:
        error, data = client.session.open({"streamType": "error"})
        client.writer.write(data + client.session.open({"streamType": "stdout"})[1])
        text = b""
        while not text:
            text = b"".join(event.data for event in await client.events() if isinstance(event, spdy.DataReceived) and event.stream == error)
    assert b"exit status 9" in text
    assert (text[:1] == b"{") == version.startswith("v4")


async def test_pings_are_answered_before_there_are_streams(streaming):
    async with raw_spdy(streaming.port, "/exec?container=c&command=both&stdout=1") as client:
        client.writer.write(client.session.ping(1))
        async with asyncio.timeout(5):
            assert await client.reader.readexactly(12) == client.session.ping(1)


async def test_unknown_and_repeated_streams_are_reset(streaming):
    async with raw_spdy(streaming.port, "/exec?container=c&command=hang&stdout=1&stdin=1") as client:
        client.writer.write(client.session.open({"streamType": "nosuch"})[1])
        client.writer.write(client.session.open({"streamType": "stdout"})[1] + client.session.open({"streamType": "stdout"})[1])
        reset: set[int] = set()
        while len(reset) < 2:
            reset |= {event.stream for event in await client.events() if isinstance(event, spdy.StreamReset)}
        assert reset == {1, 5}


async def test_streams_that_never_come(streaming, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("polong.streaming.spdyremote.CREATION_SECONDS", 0.1)
    async with raw_spdy(streaming.port, "/exec?container=c&command=both&stdout=1") as client:
        client.writer.write(client.session.open({"streamType": "error"})[1])
        text = b""
        while not text:
            text = b"".join(event.data for event in await client.events() if isinstance(event, spdy.DataReceived))
    assert b"did not open its streams" in text
    assert streaming.node.ended == []


async def test_flood_of_streams_is_bounded(streaming):
    async with raw_spdy(streaming.port, "/portforward", "portforward.k8s.io") as client:
        flood = b"".join(client.session.open({"streamType": "error", "port": "82", "requestID": str(n)})[1] for n in range(1000))
        client.writer.write(flood)
        refused = 0
        while refused < 1000 - spdy.MAX_STREAMS:
            events = await client.events()
            refused += sum(isinstance(event, spdy.StreamReset) for event in events)
        assert streaming.node.running == 0


async def test_halves_of_a_connection_that_never_meet(streaming, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("polong.streaming.portforward.CREATION_SECONDS", 0.05)
    async with raw_spdy(streaming.port, "/portforward", "portforward.k8s.io") as client:
        client.writer.write(client.session.open({"streamType": "data", "port": "82", "requestID": "1"})[1])
        client.writer.write(client.session.open({"streamType": "data", "port": "no", "requestID": "2"})[1])
        reset: set[int] = set()
        while len(reset) < 2:
            reset |= {event.stream for event in await client.events() if isinstance(event, spdy.StreamReset)}


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x80\x03\x00\x04\x00\x00\x00\x04\xff\xff\xff\xff",
        b"\x80\x02\x00\x01\x00\x00\x00\x00",
        b"\x80\x03\x00\x01\x00\xff\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_hostile_frames_end_the_session(streaming, hostile: bytes):
    async with raw_spdy(streaming.port, "/exec?container=c&command=hang&stdin=1") as client:
        client.writer.write(hostile)
        if hostile.startswith(b"GET"):  # a data frame of an unknown stream, forever incomplete: ends with the client
            return
        async with asyncio.timeout(10):
            while await client.reader.read(65536):
                pass


@pytest.mark.parametrize("how", ["reset", "close", "half-close"])
async def test_client_vanishes(streaming, how: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("polong.streaming.session.DRAIN_SECONDS", 0.1)
    async with raw_spdy(streaming.port, "/exec?container=c&command=count&stdin=1&stdout=1") as client:
        stdin, data = client.session.open({"streamType": "stdin"})
        client.writer.write(data)
        client.writer.write(client.session.open({"streamType": "error"})[1] + client.session.open({"streamType": "stdout"})[1])
        client.writer.write(client.session.data(stdin, b"x" * 1000))
        async with asyncio.timeout(5):
            while not streaming.node.running:  # noqa: ASYNC110 - the other side of a socket
                await asyncio.sleep(0.01)
        if how == "reset":
            await client.reset_connection()
        elif how == "half-close":
            client.writer.write_eof()
            await client.reader.read()
    await until_idle(streaming)
    assert streaming.node.ended[0].startswith("count")


async def test_many_sessions_leave_nothing(streaming):
    """The fixture's census counts tasks and files afterwards."""

    async def one(number: int) -> None:
        if number % 2:
            async with websocket(streaming.url, "/exec?container=c&command=cat&stdin=1&stdout=1", "v5.channel.k8s.io") as connection:
                await connection.send_bytes(b"\0hello")
                if number % 3:
                    await connection.receive_bytes(timeout=5)
            return
        async with raw_spdy(streaming.port, "/portforward", "portforward.k8s.io") as client:
            headers = {"port": "82", "requestID": "0"}
            client.writer.write(
                client.session.open({"streamType": "error", **headers})[1] + client.session.open({"streamType": "data", **headers})[1]
            )
            await client.events()
            if number % 3:
                await client.reset_connection()

    for start in range(0, 120, 20):
        await asyncio.gather(*(one(number) for number in range(start, start + 20)))
    await until_idle(streaming)


async def test_server_that_stops_ends_its_sessions(streaming, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("polong.streaming.session.CANCELLED_SECONDS", 0.1)
    async with raw_spdy(streaming.port, "/exec?container=c&command=hang&stdin=1") as client:
        client.writer.write(client.session.open({"streamType": "error"})[1] + client.session.open({"streamType": "stdin"})[1])
        async with asyncio.timeout(5):
            while not streaming.node.running:  # noqa: ASYNC110 - the other side of a socket
                await asyncio.sleep(0.01)
        await streaming.server.shutdown(0.1)
        async with asyncio.timeout(5):
            while await client.reader.read(65536):
                pass
    await until_idle(streaming)
