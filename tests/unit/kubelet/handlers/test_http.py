"""HTTP handlers against a real server on loopback."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from tests.unit.kubelet.handlers.certificates import self_signed

from polong.kit.errors import Invalid
from polong.kubelet.handlers.http import Http, Request, Response, Unencrypted, request
from polong.kubelet.handlers.target import MAX_OUTPUT, Result, Target

Json = dict[str, Any]

CONTAINER: Json = {"name": "web", "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 9090}]}


def target(**fields: Any) -> Target:
    return Target({**CONTAINER, **fields}, "c1", "127.0.0.1")


class Site:
    """Answers by path; remembers what it was asked."""

    def __init__(self) -> None:
        self.seen: list[web.Request] = []
        self.port = 0
        self.tls_port = 0

    async def handle(self, asked: web.Request) -> web.StreamResponse:
        self.seen.append(asked)
        kind, _, rest = asked.path.lstrip("/").partition("/")
        match kind:
            case "status":
                return web.Response(status=int(rest), text=f"code {rest}")
            case "slow":
                await asyncio.sleep(30)
                return web.Response()
            case "big":
                return web.Response(body=b"x" * 4_000_000)
            case "to":
                return web.Response(status=302, headers={"Location": asked.query["where"]}, text="elsewhere")
            case "loop":
                return web.Response(status=301, headers={"Location": "/loop"})
            case "nowhere":
                return web.Response(status=302)
        return web.Response(text="fine")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    plain = web.TCPSite(runner, "127.0.0.1", 0)
    await plain.start()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with self_signed() as (certificate, key):
        context.load_cert_chain(certificate, key)
    secure = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await secure.start()
    made.port, made.tls_port = runner.addresses[0][1], runner.addresses[1][1]
    yield made
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http()
    yield client
    await client.aclose()


def ask(site: Site, path: str, **fields: Any) -> Request:
    return request({"port": site.port, "path": path, **fields}, target(), "probe")


@pytest.mark.parametrize("status", [200, 204, 299])
async def test_two_hundreds_are_success(site: Site, http: Http, status: int) -> None:
    assert (await http.probe(ask(site, f"/status/{status}"), 5)).result is Result.SUCCESS


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_errors_are_failures_and_do_not_show_the_body(site: Site, http: Http, status: int) -> None:
    answer = await http.probe(ask(site, f"/status/{status}"), 5)
    assert answer.result is Result.FAILURE
    assert answer.output == f"HTTP probe failed with statuscode: {status}"


async def test_headers_host_and_agent(site: Site, http: Http) -> None:
    headers = [{"name": "Host", "value": "shop.example"}, {"name": "X-A", "value": "1"}, {"name": "X-A", "value": "2"}]
    await http.probe(ask(site, "/x?y=1", httpHeaders=headers), 5)
    await http.probe(ask(site, "", httpHeaders=[{"name": "user-agent", "value": "me"}, {"name": "Accept", "value": ""}]), 5)
    first, second = site.seen
    assert (first.path_qs, first.host, first.headers.getall("X-A")) == ("/x?y=1", "shop.example", ["1", "2"])
    assert first.headers["User-Agent"] == "kube-probe/1.33"
    assert first.headers["Accept"] == "*/*"
    assert first.headers["Connection"].lower() == "close"
    assert "Accept-Encoding" not in first.headers
    assert (second.path, second.headers["User-Agent"], "Accept" in second.headers) == ("/", "me", False)


async def test_https_without_verification(site: Site, http: Http) -> None:
    answer = await http.probe(request({"port": site.tls_port, "scheme": "HTTPS"}, target(), "probe"), 5)
    assert answer.result is Result.SUCCESS


async def test_tls_against_a_plain_server_is_told_apart(site: Site, http: Http) -> None:
    with pytest.raises(Unencrypted):
        await http.get(request({"port": site.port, "scheme": "HTTPS"}, target(), "lifecycle"), 5)
    answer = await http.probe(request({"port": site.port, "scheme": "HTTPS"}, target(), "probe"), 5)
    assert answer.result is Result.FAILURE
    assert "server gave HTTP response to HTTPS client" in answer.output


async def test_a_redirect_within_the_host_is_followed(site: Site, http: Http) -> None:
    headers = [{"name": "Host", "value": "shop.example"}]
    assert (await http.probe(ask(site, "/to/x?where=/status/500", httpHeaders=headers), 5)).result is Result.FAILURE
    assert site.seen[-1].host == "shop.example"
    there = f"http://127.0.0.1:{site.port}/status/200"
    assert (await http.probe(ask(site, f"/to/x?where={there}", httpHeaders=headers), 5)).result is Result.SUCCESS
    assert site.seen[-1].host == f"127.0.0.1:{site.port}"


@pytest.mark.parametrize("where", ["http://192.0.2.1/", "http://localhost:1/", "//192.0.2.1/x", "ftp://127.0.0.1/", "http://[::1/"])
async def test_a_redirect_elsewhere_is_a_success_with_a_warning(site: Site, http: Http, where: str) -> None:
    answer = await http.probe(ask(site, f"/to/x?where={where}"), 5)
    assert answer.result is Result.WARNING
    assert answer.output == "Probe terminated redirects, Response body: elsewhere"


async def test_redirects_without_end_or_target(site: Site, http: Http) -> None:
    answer = await http.probe(ask(site, "/loop"), 5)
    assert (answer.result, answer.output) == (
        Result.FAILURE,
        f'Get "http://127.0.0.1:{site.port}/loop": stopped after 10 redirects',
    )
    assert len(site.seen) == 10
    assert (await http.probe(ask(site, "/nowhere"), 5)).result is Result.WARNING


async def test_the_body_is_cut_and_not_awaited(site: Site, http: Http) -> None:
    got: Response = await http.get(ask(site, "/big"), 5)
    assert len(got.body) == MAX_OUTPUT


async def test_a_timeout_and_a_closed_port_are_failures(site: Site, http: Http) -> None:
    answer = await http.probe(ask(site, "/slow"), 0.2)
    assert answer.output == (
        f'Get "http://127.0.0.1:{site.port}/slow": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        answer = await http.probe(request({"port": port}, target(), "probe"), 5)
    assert answer.output == f'Get "http://127.0.0.1:{port}/": dial tcp 127.0.0.1:{port}: connect: connection refused'


async def test_a_server_that_speaks_something_else(http: Http) -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"220 smtp.example ready\r\n\r\n")
        writer.close()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    for serve in (rude, mute):
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            answer = await http.probe(request({"port": server.sockets[0].getsockname()[1]}, target(), "probe"), 5)
        assert answer.result is Result.FAILURE
        assert "\n" not in answer.output
        assert answer.output


@pytest.mark.parametrize(
    ("action", "url"),
    [
        ({"port": "http"}, "http://127.0.0.1:8080/"),
        ({"port": "9090", "path": "a b?c=d e"}, "http://127.0.0.1:9090/a%20b?c=d e"),
        ({"port": 1, "path": "/%41/x#frag", "host": "example.test"}, "http://example.test:1/%41/x"),
        ({"port": 444, "scheme": "HTTPS", "host": "2001:db8::1"}, "https://[2001:db8::1]:444/"),
    ],
)
def test_urls(action: Json, url: str) -> None:
    assert str(request(action, target(), "probe").url) == url


@pytest.mark.parametrize("port", ["nobody", 0, 70_000, "", "²"])
def test_ports_that_are_none(port: int | str) -> None:
    with pytest.raises(Invalid):
        request({"port": port}, target(), "probe")
