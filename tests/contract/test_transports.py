"""What a client may rely on, over each transport: HTTP with TLS and client certificates, and a call in process."""

import asyncio
import contextlib
import datetime
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from polong.client import Answer, Call, Client, DeleteOptions, ListOptions, PatchType, WriteOptions
from polong.client.direct import DirectTransport, drive
from polong.client.http import HTTPTransport
from polong.client.inprocess import InProcessAnswer, InProcessTransport, Reply
from polong.kit import errors
from polong.objects.gvk import NODES, PODS

Json = dict[str, Any]


@dataclass
class Given:
    status: int = 200
    body: Json | bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    events: AsyncIterator[Json] | None = None
    chunks: AsyncIterator[bytes] | None = None


_: type[Reply] = Given


@dataclass
class Server:
    """Answers by path, and remembers what it was asked."""

    calls: list[tuple[str, str, dict[str, str], Any, str]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    async def __call__(self, call: Call) -> Given:
        body = call.body
        if call.path == "/upload":
            return Given(chunks=self.echo(body))
        self.calls.append((call.method, call.path, dict(call.query), body, call.content_type))
        if call.path.endswith("/missing"):
            raise errors.NotFound('pods "missing" not found', reason="NotFound")
        if call.path.endswith("/taken"):
            raise errors.AlreadyExists('pods "taken" already exists', reason="AlreadyExists")
        if call.path.endswith("/invalid"):
            causes = [errors.Cause("FieldValueRequired", "Required value", "spec.containers")]
            raise errors.Invalid('Pod "invalid" is invalid: spec.containers: Required value', reason="Invalid", causes=causes)
        if dict(call.query).get("watch"):
            return Given(events=self.watch())
        if call.path.endswith("/log"):
            return Given(chunks=self.log(), headers={"Content-Type": "text/plain"})
        if call.path.endswith("/warned"):
            warnings = '299 - "first, \\"quoted\\"", 299 - "second"'
            return Given(body={"kind": "Pod"}, headers={"Warning": warnings})
        if call.path == "/text":
            return Given(503, b"upstream is down", {"Content-Type": "text/plain"})
        return Given(body={"kind": "Thing", "you": "sent", "body": body if isinstance(body, dict) else None})

    async def watch(self) -> AsyncIterator[Json]:
        try:
            for number in range(3):
                yield {"type": "ADDED", "object": {"metadata": {"name": f"p{number}", "resourceVersion": str(number)}, "text": "ü\n" * 500}}
            await asyncio.Event().wait()
        finally:
            self.ended.append("watch")

    async def log(self) -> AsyncIterator[bytes]:
        for number in range(20):
            yield b"%d" % number + b"x" * 40_000 + b"\n"

    async def echo(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in body:
            yield chunk.upper()


@dataclass
class Setup:
    client: Client
    server: Server
    warnings: list[str]
    transport: Any


def certificates(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server's, client's) contexts that trust each other through one authority."""
    now = datetime.datetime.now(datetime.UTC)

    def issue(name: str, signer: tuple[x509.Name, Any] | None) -> tuple[x509.Name, Any]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder(subject_name=subject, issuer_name=signer[0] if signer else subject, public_key=key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        )
        certificate = builder.sign(signer[1] if signer else key, hashes.SHA256())
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return subject, key

    authority = issue("ca", None)
    issue("server", authority)
    issue("client", authority)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.crt")
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(folder / "server.crt", folder / "server.key")
    client = ssl.create_default_context(cafile=folder / "ca.crt")
    client.load_cert_chain(folder / "client.crt", folder / "client.key")
    return server, client


def over_http(server: Server) -> Callable[[web.BaseRequest], Any]:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        body: Any = request.content.iter_any() if request.path == "/upload" else await request.read() or None
        if isinstance(body, bytes) and request.content_type == "application/json":
            body = json.loads(body)
        given = await InProcessTransport(server).call(
            Call(request.method, request.path, list(request.query.items()), request.headers, body, request.content_type)
        )
        async with given:
            response = web.StreamResponse(status=given.status, headers=dict(given.headers))
            await response.prepare(request)
            async for chunk in given.chunks():
                await response.write(chunk)
            await response.write_eof()
        return response

    return handle


class Aside:
    """A DirectTransport on a thread of its own, where it may wait while this loop serves it. Its answers are taken whole."""

    def __init__(self, transport: DirectTransport) -> None:
        self._transport = transport
        self._turn = asyncio.Lock()

    async def call(self, call: Call) -> Answer:
        async def whole() -> InProcessAnswer:
            async with await self._transport.call(call) as answer:
                return InProcessAnswer(answer.status, dict(answer.headers), body=await answer.data(), events=None, chunks=None)

        async with self._turn:
            return await asyncio.to_thread(lambda: drive(whole()))

    async def aclose(self) -> None:
        await self._transport.aclose()


@contextlib.asynccontextmanager
async def over(kind: str, folder: Path) -> AsyncIterator[Setup]:
    server = Server()
    warnings: list[str] = []
    if kind == "inprocess":
        transport: Any = InProcessTransport(server)
        yield Setup(Client(transport, warn=warnings.append), server, warnings, transport)
        return
    theirs, ours = certificates(folder)
    http = web.Server(over_http(server), handler_cancellation=True)
    listener = await asyncio.get_running_loop().create_server(http, "127.0.0.1", 0, ssl=theirs)
    address = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    if kind == "direct":
        transport = Aside(DirectTransport(address, tls=ours, connect_timeout=5, timeout=5))
    else:
        transport = HTTPTransport(address, tls=ours, connect_timeout=5, timeout=5)
    async with Client(transport, warn=warnings.append) as client:
        yield Setup(client, server, warnings, transport)
    listener.close()
    await http.shutdown(1)
    await listener.wait_closed()


@pytest.fixture(params=["https", "inprocess", "direct"])
async def setup(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Setup]:
    async with over(request.param, tmp_path) as made:
        yield made


@pytest.fixture(params=["https", "inprocess"])
async def streaming(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Setup]:
    """Those that can do two things at once."""
    async with over(request.param, tmp_path) as made:
        yield made


async def test_verbs_say_what_kubernetes_expects(setup: Setup):
    client, pod = setup.client, {"metadata": {"name": "p"}}
    await client.get(PODS, "p", "default")
    await client.get(PODS, "p", "default", subresource="status")
    await client.list(
        PODS, "default", ListOptions(labels="a=b,c!=d", fields="spec.nodeName=n", limit=7, continue_="t", resource_version="0")
    )
    await client.create(PODS, pod, "default", options=WriteOptions(dry_run=True, field_manager="m", field_validation="Strict"))
    await client.update(PODS, pod, "default", subresource="status")
    await client.patch(PODS, "p", {"a": 1}, "default")
    await client.patch(PODS, "p", [{"op": "test"}], "default", kind=PatchType.JSON)
    await client.patch(NODES, "n", {"a": 1}, kind=PatchType.MERGE, subresource="status")
    await client.patch(PODS, "p", b"a: 1", "default", kind=PatchType.APPLY, options=WriteOptions(field_manager="m", force=True))
    await client.delete(PODS, "p", "default", DeleteOptions(grace_period=0, uid="u", propagation="Background"))
    await client.delete_collection(PODS, "default", ListOptions(labels="a"))
    path = "/api/v1/namespaces/default/pods"
    options = {"kind": "DeleteOptions", "apiVersion": "v1"}
    called = [
        (method, path_, query, json.loads(body) if isinstance(body, bytes) and body[:1] in b"[{" else body, kind)
        for method, path_, query, body, kind in setup.server.calls
    ]
    selection = {"labelSelector": "a=b,c!=d", "fieldSelector": "spec.nodeName=n", "limit": "7", "continue": "t", "resourceVersion": "0"}
    assert [call[:4] for call in called] == [
        ("GET", f"{path}/p", {}, None),
        ("GET", f"{path}/p/status", {}, None),
        ("GET", path, selection, None),
        ("POST", path, {"dryRun": "All", "fieldManager": "m", "fieldValidation": "Strict"}, pod),
        ("PUT", f"{path}/p/status", {}, pod),
        ("PATCH", f"{path}/p", {}, {"a": 1}),
        ("PATCH", f"{path}/p", {}, [{"op": "test"}]),
        ("PATCH", "/api/v1/nodes/n/status", {}, {"a": 1}),
        ("PATCH", f"{path}/p", {"fieldManager": "m", "force": "true"}, b"a: 1"),
        ("DELETE", f"{path}/p", {}, options | {"gracePeriodSeconds": 0, "propagationPolicy": "Background", "preconditions": {"uid": "u"}}),
        ("DELETE", path, {"labelSelector": "a"}, options),
    ]
    assert [call[4] for call in called if call[0] == "PATCH"] == [
        "application/strategic-merge-patch+json",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/apply-patch+yaml",
    ]


async def test_errors_carry_the_server_s_words(setup: Setup):
    with pytest.raises(errors.NotFound, match='pods "missing" not found') as missing:
        await setup.client.get(PODS, "missing", "default")
    assert missing.value.reason == "NotFound"
    with pytest.raises(errors.AlreadyExists):
        await setup.client.get(PODS, "taken", "default")
    with pytest.raises(errors.Invalid) as invalid:
        await setup.client.get(PODS, "invalid", "default")
    assert invalid.value.causes == (errors.Cause("FieldValueRequired", "Required value", "spec.containers"),)
    with pytest.raises(errors.Unavailable, match="upstream is down"):
        await setup.client.raw(Call("GET", "/text"))


async def test_watch_is_a_stream_that_can_be_left(streaming: Setup):
    watch = streaming.client.watch(PODS, "default", ListOptions(resource_version="5"), bookmarks=True, timeout=60)
    seen = [await anext(watch) for _ in range(3)]
    assert [(kind, obj["metadata"]["name"]) for kind, obj in seen] == [("ADDED", "p0"), ("ADDED", "p1"), ("ADDED", "p2")]
    assert seen[0][1]["text"] == "ü\n" * 500
    assert streaming.server.calls[-1][2] == {"resourceVersion": "5", "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": "60"}
    await watch.aclose()
    async with asyncio.timeout(5):
        while streaming.server.ended != ["watch"]:  # noqa: ASYNC110 - the other side of a socket
            await asyncio.sleep(0.01)
    assert (await streaming.client.get(PODS, "p", "default"))["kind"] == "Thing"


async def test_logs_come_in_pieces(setup: Setup):
    text = b"".join([chunk async for chunk in setup.client.logs(PODS, "p", "default", [("container", "c")])])
    assert text == b"".join([b"%d" % number + b"x" * 40_000 + b"\n" for number in range(20)])


async def test_bodies_stream_both_ways_at_once(streaming: Setup):
    turn = asyncio.Event()
    received = bytearray()

    async def send() -> AsyncIterator[bytes]:
        yield b"first"
        await turn.wait()  # only the answer to the first lets the second go
        for _ in range(50):
            yield b"second" * 1000

    answer = await streaming.client.raw(Call("POST", "/upload", body=send(), content_type="application/x-tar"))
    async with answer, asyncio.timeout(5):
        async for chunk in answer.chunks():
            received += chunk
            if b"FIRST" in received:
                turn.set()
    assert bytes(received) == b"FIRST" + b"SECOND" * 50_000


async def test_failing_source_of_a_body_is_told(streaming: Setup):
    async def send() -> AsyncIterator[bytes]:
        yield b"first"
        raise ValueError("cannot read the archive")

    async def upload() -> bytes:
        async with await streaming.client.raw(Call("POST", "/upload", body=send())) as answer:
            return await answer.data()

    with pytest.raises(ValueError, match="cannot read the archive"):
        await upload()
    assert (await streaming.client.get(PODS, "p", "default"))["kind"] == "Thing"


async def test_warnings_are_collected(setup: Setup):
    await setup.client.get(PODS, "warned", "default")
    assert setup.warnings == ['first, "quoted"', "second"]


async def test_calls_side_by_side(setup: Setup):
    answers = await asyncio.gather(*(setup.client.create(PODS, {"number": number}, "default") for number in range(30)))
    assert [answer["body"]["number"] for answer in answers] == list(range(30))
