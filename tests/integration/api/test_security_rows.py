"""Rows 70 to 86 of docs/security.md against a server on TLS, by sockets that say what no well-behaved client would."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import resource
import ssl
import struct
import time
import zlib
from typing import Any

import aiohttp
import pytest

from polong.remotecommand import spdy_headers

from .conftest import Api
from .test_http import MERGE, POD, PODS, client, raw, tls

Json = dict[str, Any]

STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
_GROUP = "rbac.authorization.k8s.io"


async def allow(api: Api, user: str, *rules: Json) -> None:
    async with client(api) as session:
        await session.post(f"{RBAC}/roles", json={"metadata": {"name": user}, "rules": list(rules)})
        binding = {
            "metadata": {"name": user},
            "roleRef": {"apiGroup": _GROUP, "kind": "Role", "name": user},
            "subjects": [{"apiGroup": _GROUP, "kind": "User", "name": user}],
        }
        assert (await session.post(f"{RBAC}/rolebindings", json=binding)).status == 201


async def send(api: Api, method: str, path: str, body: bytes, media: str = "application/json") -> tuple[int, Json]:
    async with client(api) as session, session.request(method, path, data=io.BytesIO(body), headers={"Content-Type": media}) as answer:
        return answer.status, json.loads(await answer.read())


async def make_pod(api: Api) -> None:
    async with client(api) as session:
        assert (await session.post(PODS, json=POD)).status == 201


# --- 70: what runs commands needs `create`, whatever the method ----------------------------------------------------------------------


@pytest.mark.parametrize("subresource", ["exec", "attach", "portforward"])
async def test_70_get_alone_runs_nothing(api: Api, subresource: str):
    await make_pod(api)
    everything = [f"pods/{each}" for each in ("exec", "attach", "portforward", "log", "status")]
    await allow(api, "bob", {"apiGroups": [""], "resources": ["pods", *everything], "verbs": ["get", "list", "watch"]})
    query = "?command=id&stdout=true&container=c" if subresource == "exec" else "?stdout=true&container=c&ports=80"
    async with client(api, "bob") as bob:
        assert (await bob.get(f"{PODS}/p")).status == 200
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await bob.ws_connect(f"{PODS}/p/{subresource}{query}", protocols=["v5.channel.k8s.io"])
        assert refused.value.status == 403
        spdy = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v4.channel.k8s.io"}
        for method in ("GET", "POST"):
            answer = await bob.request(method, f"{PODS}/p/{subresource}{query}", headers=spdy)
            assert (answer.status, (await answer.json())["reason"]) == (403, "Forbidden")


# --- 71 to 74: bodies ----------------------------------------------------------------------------------------------------------------


def alias_bomb() -> bytes:
    """Parses in an instant; every walk over it would meet 10^12 words."""
    lines = [b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 12)]
    return b"\n".join(lines)


async def test_71_bombs_are_refused_and_nobody_waits(api: Api):
    deep = b'{"metadata":' + b'{"a":' * 500_000 + b"1" + b"}" * 500_001
    wide = b'{"metadata":{"name":"w"},"spec":{"containers":[' + b"{}," * 1_000_000 + b"{}]}}"
    answered: list[float] = []

    async def beside() -> None:
        async with client(api) as session:
            while True:
                start = time.perf_counter()
                assert (await session.get("/readyz")).status == 200
                answered.append(time.perf_counter() - start)
                await asyncio.sleep(0.01)

    neighbour = asyncio.ensure_future(beside())  # noqa: TID251 - ends below
    try:
        for body, media in (
            (alias_bomb(), "application/yaml"),
            (deep, "application/json"),
            (deep, "application/yaml"),
            (wide, "application/json"),
        ):
            start = time.perf_counter()
            code, answer = await send(api, "POST", PODS, body, media)
            assert (400 <= code < 500, answer["kind"]) == (True, "Status")
            assert time.perf_counter() - start < 15
    finally:
        neighbour.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await neighbour
    assert answered


EDGES = {
    "depth": b'{"metadata":{"name":"p","annotations":' + b"[" * 2000 + b"]" * 2000 + b"}}",
    "digits": b'{"metadata":{"name":"p","generation":' + b"9" * 5000 + b"}}",
    "NaN": b'{"metadata":{"name":"p","generation":NaN}}',
    "Infinity": b'{"metadata":{"name":"p","generation":1e999}}',
    "int64": b'{"metadata":{"name":"p"},"spec":{"terminationGracePeriodSeconds":9223372036854775808}}',
    "surrogate": b'{"metadata":{"name":"\\ud800"}}',
    "not UTF-8": b'{"metadata":{"name":"\xff"}}',
    "two documents": b"{}{}",
    "nothing": b"",
}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize(
    ("method", "media"), [("POST", "application/json"), ("PUT", "application/json"), ("PATCH", MERGE), ("PATCH", STRATEGIC)]
)
async def test_72_edges_of_json_are_the_clients_fault(api: Api, edge: str, method: str, media: str):
    await make_pod(api)
    path = PODS if method == "POST" else f"{PODS}/p"
    code, answer = await send(api, method, path, EDGES[edge], media)
    assert code in (400, 413, 422), answer
    assert answer["kind"] == "Status"
    async with client(api) as session:
        assert (await session.get(f"{PODS}/p")).status == 200


async def test_72_a_key_given_twice_is_told_or_refused(api: Api):
    twice = b'{"metadata":{"name":"t"},"spec":{"containers":[{"name":"c","image":"i","image":"j"}]}}'
    async with client(api) as session:
        headers = {"Content-Type": "application/json"}
        strict = await session.post(PODS, data=twice, headers=headers, params={"fieldValidation": "Strict"})
        assert (strict.status, 'duplicate field "spec.containers[0].image"' in (await strict.json())["message"]) == (400, True)
        warned = await session.post(PODS, data=twice, headers=headers)
        assert (warned.status, "duplicate field" in warned.headers["Warning"]) == (201, True)


async def test_73_a_json_patch_cannot_double_itself(api: Api):
    await make_pod(api)
    doubling: list[Json] = [{"op": "add", "path": "/metadata/annotations", "value": {"a": "x" * 1000}}]
    doubling += [{"op": "copy", "from": "/metadata/annotations", "path": f"/metadata/annotations/b{n}"} for n in range(60)]
    start = time.perf_counter()
    code, answer = await send(api, "PATCH", f"{PODS}/p", json.dumps(doubling).encode(), JSON_PATCH)
    assert code in (400, 413, 422), answer
    code, _ = await send(
        api, "PATCH", f"{PODS}/p", json.dumps([{"op": "test", "path": "/kind", "value": "Pod"}] * 10_001).encode(), JSON_PATCH
    )
    assert code in (400, 413, 422)
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("how", ["with its length", "in chunks"])
async def test_74_a_body_is_judged_whole_or_not_at_all(api: Api, how: str):
    """What follows the limit is not cut off: nothing is made of the rest."""
    tail = b'{"metadata":{"name":"tail"},"spec":{"containers":[{"name":"c","image":"i"}],"hostPID":true}}'
    body = b" " * (4 << 20) + tail

    async def pieces() -> Any:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    async with client(api) as session:
        with contextlib.suppress(aiohttp.ClientError):
            answer = await session.post(
                PODS, data=io.BytesIO(body) if how == "with its length" else pieces(), headers={"Content-Type": "application/json"}
            )
            assert answer.status == 413
        assert (await session.get(f"{PODS}/tail")).status == 404


# --- 75 to 77: protocols -------------------------------------------------------------------------------------------------------------


async def test_75_there_is_no_http2_to_flood(api: Api):
    context = tls(api.authority, "admin")
    context.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection("127.0.0.1", api.port, ssl=context, server_hostname="localhost")
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    writer.close()
    frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" * 10_000
    answer = await raw(api, frames)
    assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.0 400")
    async with client(api) as session:
        assert (await session.get("/readyz")).status == 200


def control(kind: int, payload: bytes, length: int | None = None) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, len(payload) if length is None else length) + payload


def block(raw_block: bytes) -> bytes:
    deflate = zlib.compressobj(9, zdict=spdy_headers.DICTIONARY)
    return deflate.compress(raw_block) + deflate.flush(zlib.Z_SYNC_FLUSH)


SYN = struct.pack(">IIH", 1, 0, 0)
FRAMES = {
    "settings without end": control(4, struct.pack(">I", 2**32 - 1)),
    "a frame of 16 MiB": control(1, SYN, 0xFFFFFF),
    "headers that inflate": control(1, SYN + block(b"\0" * 40_000_000)),
    "two thousand million headers": control(1, SYN + block(struct.pack(">I", 2**31))),
    "a header of 2 GiB": control(1, SYN + block(struct.pack(">II", 1, 2**31) + b"a")),
    "a hundred thousand streams": b"".join(
        control(1, struct.pack(">IIH", n, 0, 0) + block(struct.pack(">I", 0))) for n in range(1, 20_001, 2)
    ),
    "pings": control(6, struct.pack(">I", 1)) * 50_000,
}


@pytest.mark.parametrize("frames", FRAMES)
async def test_76_spdy_believes_nothing(api: Api, frames: str):
    await make_pod(api)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    head = f"POST {PODS}/p/exec?command=cat&container=c&stdin=true&stdout=true HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
    head += "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port, ssl=tls(api.authority, "admin"))
    try:
        writer.write(head.encode())
        async with asyncio.timeout(20):
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            with contextlib.suppress(OSError):
                writer.write(FRAMES[frames])
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(2):  # whoever reads nothing must cost nothing either
                        await writer.drain()
        async with client(api) as session:
            start = time.perf_counter()
            assert (await session.get("/readyz")).status == 200
            assert time.perf_counter() - start < 5
    finally:
        writer.transport.abort()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 48 * 1024
    async with asyncio.timeout(10):
        while api.server._streams:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.02)


HEAD = f"GET {PODS} HTTP/1.1\r\nHost: localhost\r\n".encode()
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
CORPUS = {
    "length and chunked": b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "two lengths": b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n" + SMUGGLED,
    "a signed length": b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: +4\r\n\r\nabcd",
    "a length in hexadecimal": b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x4\r\n\r\nabcd",
    "chunked twice": b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked in disguise": b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "a chunk of negative size": b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n" + SMUGGLED,
    "a space before the colon": HEAD + b"Content-Length : 0\r\n\r\n",
    "a folded header": HEAD + b"X: a\r\n b\r\n\r\n",
    "a NUL in a header": HEAD + b"X: a\0b\r\n\r\n",
    "a header without colon": HEAD + b"nonsense\r\n\r\n",
    "two hosts": HEAD + b"Host: evil.test\r\n\r\n",
    "no host": f"GET {PODS} HTTP/1.1\r\n\r\n".encode(),
    "too many headers": HEAD + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 1000) for n in range(5000)) + b"\r\n",
}


@pytest.mark.parametrize("case", CORPUS)
async def test_77_requests_that_two_readers_would_read_differently(api: Api, case: str, caplog: pytest.LogCaptureFixture):
    answer = await raw(api, CORPUS[case])
    head, _, text = answer.partition(b"\r\n\r\n")
    assert head.split(b" ")[1][:1] == b"4", answer[:200]
    assert b"connection: close" in head.lower() or head.startswith(b"HTTP/1.0 ")
    # What was hidden behind it is answered to nobody as a request of its own.
    assert answer.count(b"HTTP/1.") == 1
    assert b"smuggled" not in answer
    assert json.loads(text)["kind"] == "Status"
    assert "Traceback" not in caplog.text


# --- 78, 79: names and scopes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a%2fb", "%2e%2e", "a" * 300, "a\0b", "a\nb", "-a", "A"])
async def test_78_names_are_names(api: Api, name: str):
    code, answer = await send(api, "POST", PODS, json.dumps({**POD, "metadata": {"name": name}}).encode())
    assert (code, answer["reason"]) == (422, "Invalid")
    for path in (f"{PODS}/%2e%2e", f"{PODS}/..%2f..%2fsecrets", f"{PODS}/p%2fstatus", f"{PODS}/%2e%2e/secrets", f"{PODS}/../secrets"):
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        assert (await raw(api, head)).split(b" ")[1] in (b"404", b"400")


@pytest.mark.parametrize("patch", [{"metadata": {"name": "../q"}}, {"metadata": {"namespace": "kube-system"}}, {"metadata": {"uid": "x"}}])
@pytest.mark.parametrize("media", [MERGE, STRATEGIC])
async def test_78_a_patch_gets_past_no_check(api: Api, patch: Json, media: str):
    await make_pod(api)
    code, answer = await send(api, "PATCH", f"{PODS}/p", json.dumps(patch).encode(), media)
    assert code in (400, 409, 422), answer


async def test_79_the_url_says_the_namespace(api: Api):
    await make_pod(api)
    foreign = {**POD, "metadata": {"name": "q", "namespace": "kube-system"}}
    assert (await send(api, "POST", PODS, json.dumps(foreign).encode()))[0] == 400
    own = {**POD, "metadata": {"name": "p", "namespace": "kube-system"}}
    assert (await send(api, "PUT", f"{PODS}/p", json.dumps(own).encode()))[0] == 400
    apply = {"apiVersion": "v1", "kind": "Pod", **own}
    assert (await send(api, "PATCH", f"{PODS}/p?fieldManager=m", json.dumps(apply).encode(), "application/apply-patch+yaml"))[0] == 400
    for subresource in ("status", "ephemeralcontainers", "resize"):
        code, _ = await send(api, "PATCH", f"{PODS}/p/{subresource}", json.dumps({"metadata": {"namespace": "x"}}).encode(), MERGE)
        assert code in (400, 422), subresource
        code, _ = await send(api, "PUT", f"{PODS}/p/{subresource}", json.dumps(own).encode())
        assert code == 400, subresource
    binding = {"metadata": {"name": "p", "namespace": "kube-system"}, "target": {"name": "n"}}
    assert (await send(api, "POST", f"{PODS}/p/binding", json.dumps(binding).encode()))[0] == 400
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": "kube-system"}}
    assert (await send(api, "POST", f"{PODS}/p/eviction", json.dumps(eviction).encode()))[0] == 400
    # A right in one namespace is none in another, nor in all.
    await allow(api, "bob", {"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]})
    async with client(api, "bob") as bob:
        assert (await bob.get(PODS)).status == 200
        for path in ("/api/v1/pods", "/api/v1/namespaces/kube-system/pods", "/api/v1/namespaces/default/pods/p/log", "/api/v1/nodes"):
            assert (await bob.get(path)).status == 403


# --- 80: every kind of container -----------------------------------------------------------------------------------------------------

_EVIL: dict[str, Json] = {
    "privileged": {"securityContext": {"privileged": True}},
    "a capability": {"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}},
    "a host port": {"ports": [{"containerPort": 80, "hostPort": 80}]},
    "seccomp": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
    "procMount": {"securityContext": {"procMount": "Unmasked"}},
    "an unknown field": {"nonsense": 1},
    "an environment twice sourced": {"env": [{"name": "A", "value": "b", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
    "envFrom of nothing": {"envFrom": [{}]},
    "a volume that is none": {"volumeMounts": [{"name": "none", "mountPath": "/x"}]},
    "a path upwards": {"volumeMounts": [{"name": "v", "mountPath": "/x", "subPath": "../.."}]},
}


@pytest.mark.parametrize("evil", _EVIL)
@pytest.mark.parametrize("kind", ["containers", "initContainers", "sidecar", "ephemeralContainers"])
async def test_80_every_policy_sees_every_container(api: Api, evil: str, kind: str):
    async with client(api) as session:
        label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
        answer = await session.patch("/api/v1/namespaces/default", data=json.dumps(label), headers={"Content-Type": MERGE})
        assert answer.status == 200
        more = {"ports": []} if kind == "ephemeralContainers" and "port" in evil else {}
        container = {"name": "e", "image": "i", **_EVIL[evil], **more}
        spec: Json = {"containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "v", "emptyDir": {}}]}
        strict = {"fieldValidation": "Strict"}
        if kind == "ephemeralContainers":
            if more:
                container["ports"] = _EVIL[evil]["ports"]
            assert (await session.post(PODS, json={"metadata": {"name": "p"}, "spec": spec})).status == 201
            body = json.dumps({"spec": {"ephemeralContainers": [container]}})
            answer = await session.patch(f"{PODS}/p/ephemeralcontainers", data=body, headers={"Content-Type": STRATEGIC}, params=strict)
        else:
            field = "initContainers" if kind == "sidecar" else kind
            given = [{**container, "restartPolicy": "Always"}] if kind == "sidecar" else [container]
            spec[field] = [*spec.get(field, ()), *given]
            answer = await session.post(PODS, json={"metadata": {"name": "p"}, "spec": spec}, params=strict)
        assert answer.status in (400, 403, 422), await answer.text()


# --- 84 to 86: who is asked, and by what name ----------------------------------------------------------------------------------------


async def test_84_nothing_but_health_and_version_without_a_name(api: Api):
    await make_pod(api)
    closed = [
        "/",
        "/api",
        "/apis",
        "/openapi/v3",
        "/openapi/v2",
        "/metrics",
        "/debug/pprof",
        "/logs",
        "/configz",
        PODS,
        f"{PODS}/p/log",
        "/stats",
    ]
    async with client(api, "") as nobody:
        for path in closed:
            assert (await nobody.get(path)).status == 401, path
        for path in ("/healthz", "/livez", "/readyz", "/version"):
            assert (await nobody.get(path)).status == 200, path
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        async with aiohttp.ClientSession() as plain:  # no TLS, no API
            await plain.get(f"http://127.0.0.1:{api.port}/version")


@pytest.mark.parametrize(
    "origin",
    ["https://evil.test", "null", "https://localhost.evil.test", "https://evil.test#localhost", "file://", "https://127.0.0.1.evil.test"],
)
async def test_85_no_page_of_another_site_drives_it(api: Api, origin: str):
    """With the client certificate that a browser would send along."""
    await make_pod(api)
    async with client(api) as session:
        for path in (
            f"{PODS}/p/exec?command=id&stdout=true&container=c",
            f"{PODS}/p/attach?container=c&stdout=true",
            f"{PODS}/p/portforward?ports=80",
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(path, protocols=["v5.channel.k8s.io"], origin=origin)
            assert refused.value.status == 403
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            answer = await session.request(method, f"{PODS}/p", headers={"Origin": origin})
            assert answer.status == 403
            assert not any(name.lower().startswith("access-control-") for name in answer.headers)
        assert (await session.get(f"{PODS}/p")).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.test", "localhost:8443.evil.test", "localhost.evil.test", "127.0.0.1.nip.io", "127.0.0.2", "[::2]", "0", "user@localhost"],
)
async def test_86_no_other_name_is_ours(api: Api, host: str):
    head = f"GET {PODS} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    assert (await raw(api, head)).split(b" ")[1] in (b"403", b"400")
    if "@" in host:  # of a target in absolute form, the part before it is nobody's name
        return
    absolute = f"GET https://{host}{PODS} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    assert (await raw(api, absolute)).split(b" ")[1] in (b"403", b"400", b"404")


def test_the_context_is_not_weaker_than_tls_1_2(api: Api):
    assert api.server._tls is not None
    assert api.server._tls.minimum_version >= ssl.TLSVersion.TLSv1_2
