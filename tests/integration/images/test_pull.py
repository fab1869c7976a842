"""Pulls from a real registry and from ones that misbehave."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import time
from pathlib import Path

import pytest
from aiohttp import web
from tests.fixtures import oci
from tests.fixtures.registry import Scripted, free_port, push, scripted
from tests.integration.images.conftest import remains

from polong.images.admin import ImageAdmin
from polong.images.hosts import Hosts
from polong.images.model import RegistryAuth
from polong.images.registry import Timeouts
from polong.images.service import ImageService
from polong.kit.errors import BadRequest, Invalid, NotFound, PolongError, TooLarge, Unauthorized, Unavailable

LAYER = oci.directory(b"bin") + oci.file(b"bin/true", os.urandom(300_000), mode=0o755) + oci.END
IMAGE = oci.image([LAYER, oci.file(b"second", b"2") + oci.END])


def serving(**hooks: object) -> contextlib.AbstractAsyncContextManager[Scripted]:
    return scripted(images={("a/b", "1"): IMAGE}, **hooks)


async def test_from_dockers_registry(service: ImageService, docker_registry: str, built_images: dict[str, Path]) -> None:
    push(built_images["docker.io/library/nginx:latest"], f"{docker_registry}/library/nginx:1")
    admin = ImageAdmin(service)
    events = [event async for event in admin.pull(f"{docker_registry}/library/nginx:1")]
    assert events[-1]["status"] == "done"
    assert {event["status"] for event in events} >= {"resolving", "downloading", "unpacking", "unpacked"}
    image = await service.get(f"{docker_registry}/library/nginx:1")
    assert image is not None
    assert image.config.cmd == ("nginx", "-g", "daemon off;")
    by_digest = await service.pull(image.repo_digests[0])
    assert by_digest.id == image.id
    root = await service.mount_rootfs(image.id, "k")
    assert (root / "etc/nginx/nginx.conf").exists()
    await service.release_rootfs("k")


async def test_not_found_in_containerds_words(service: ImageService, docker_registry: str, root: Path) -> None:
    name = f"{docker_registry}/library/nosuch:1"
    with pytest.raises(NotFound) as caught:
        await service.pull(name)
    assert caught.value.reason == "ErrImagePull"
    assert caught.value.message == f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": {name}: not found'
    assert remains(root) == []


async def test_a_malformed_name_asks_nobody(service: ImageService) -> None:
    with pytest.raises(BadRequest) as caught:
        await service.pull("Not A Name")
    assert caught.value.reason == "InvalidImageName"


async def test_an_unreachable_registry_is_known_at_once(service: ImageService) -> None:
    started = time.monotonic()
    with pytest.raises(Unavailable, match="cannot reach registry 127") as caught:
        await service.pull(f"127.0.0.1:{free_port()}/a:1")
    assert caught.value.reason == "RegistryUnreachable"
    assert time.monotonic() - started < 2


async def test_a_registry_whose_name_nobody_knows_is_unreachable(service: ImageService) -> None:
    with pytest.raises(Unavailable) as caught:
        await service.pull("registry.invalid/a:1")
    assert caught.value.reason == "RegistryUnreachable"


async def test_a_registry_that_swallows_connections_is_unreachable_within_the_bound(root: Path) -> None:
    """A full backlog: the kernel drops what asks to connect, as a firewall does."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        service = ImageService(root, timeouts=Timeouts(connect=0.3, read=5))
        await service.start()
        started = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await service.pull(f"127.0.0.1:{listener.getsockname()[1]}/a:1")
        await service.aclose()
    assert caught.value.reason == "RegistryUnreachable"
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("answer", [b"", b"not http at all\r\n\r\n", b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n"])
async def test_whatever_answers_is_not_unreachable(service: ImageService, answer: bytes) -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(1)
            writer.write(answer)
            await writer.drain()
        writer.close()

    listener = await asyncio.start_server(respond, "127.0.0.1", 0)
    async with listener:
        with pytest.raises(PolongError) as caught:
            await service.pull(f"127.0.0.1:{listener.sockets[0].getsockname()[1]}/a:1")
    assert caught.value.reason == "ErrImagePull"


async def test_a_silent_registry_is_given_up(root: Path) -> None:
    never = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await never.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    service = ImageService(root, hosts=Hosts(loopback_http=True), timeouts=Timeouts(connect=0.3, read=0.3))
    await service.start()
    with pytest.raises(Unavailable, match="no answer in time"):
        await service.pull(f"127.0.0.1:{server.sockets[0].getsockname()[1]}/a:1")
    never.set()
    server.close()
    await server.wait_closed()
    await service.aclose()


async def test_tls_is_never_dropped_for_http(root: Path) -> None:
    """The registry speaks http, nobody allowed that: the attempt fails, and no request in the clear is made."""
    async with serving() as registry:
        service = ImageService(root, hosts=Hosts())
        await service.start()
        with pytest.raises(Unavailable):
            await service.pull(f"{registry.address}/a/b:1")
        assert registry.seen == []
        await service.aclose()


async def test_pulls_of_one_name_are_one_pull(service: ImageService) -> None:
    async with serving() as registry:
        name = f"{registry.address}/a/b:1"
        images = await asyncio.gather(*(service.pull(name) for _ in range(5)))
        assert len({image.id for image in images}) == 1
        assert len([path for path, _ in registry.seen if "/manifests/" in path]) == 1


async def test_a_pull_goes_on_while_anybody_waits_and_ends_with_the_last(service: ImageService, root: Path) -> None:
    gate, reached = asyncio.Event(), asyncio.Event()

    async def hold(request: web.Request) -> None:
        if "/blobs/" in request.path:
            reached.set()
            await gate.wait()

    async with serving(hook=hold) as registry:
        name = f"{registry.address}/a/b:1"
        first, second = asyncio.ensure_future(service.pull(name)), asyncio.ensure_future(service.pull(name))  # noqa: TID251
        await reached.wait()
        first.cancel()
        await asyncio.wait([first])
        gate.set()
        assert (await second).repo_tags == (name,)
        await service.delete(name)
        gate.clear()
        reached.clear()
        third = asyncio.ensure_future(service.pull(name))  # noqa: TID251
        await reached.wait()
        third.cancel()
        await asyncio.wait([third])
        gate.set()
        async with asyncio.timeout(5):
            while remains(root):  # noqa: ASYNC110 - the file system tells nobody
                await asyncio.sleep(0.01)
        assert remains(root) == []


async def test_a_broken_download_is_resumed(service: ImageService) -> None:
    [digest, *_] = [layer["digest"] for layer in IMAGE.document["layers"]]
    content = IMAGE.blobs[digest]
    ranges: list[str] = []

    async def cut(request: web.Request) -> web.StreamResponse | None:
        if not request.path.endswith(digest):
            return None
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        ranges.append(request.headers.get("Range", ""))
        answer = web.StreamResponse(status=206 if start else 200)
        answer.content_length = len(content) - start
        answer.headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        await answer.prepare(request)
        end = len(content) if len(ranges) == 3 else start + 100_000
        await answer.write(content[start:end])
        if end < len(content):
            assert request.transport is not None
            request.transport.close()
        return answer

    async with serving(hook=cut) as registry:
        await service.pull(f"{registry.address}/a/b:1")
    assert ranges == ["", "bytes=100000-", "bytes=200000-"]


async def test_a_server_that_cannot_resume_starts_again(service: ImageService) -> None:
    [digest, *_] = [layer["digest"] for layer in IMAGE.document["layers"]]
    tries = 0

    async def cut(request: web.Request) -> web.StreamResponse | None:
        nonlocal tries
        if not request.path.endswith(digest):
            return None
        tries += 1
        answer = web.StreamResponse()
        answer.content_length = len(IMAGE.blobs[digest])
        await answer.prepare(request)
        await answer.write(IMAGE.blobs[digest] if tries == 2 else IMAGE.blobs[digest][:1000])
        if tries == 1:
            assert request.transport is not None
            request.transport.close()
        return answer

    async with serving(hook=cut) as registry:
        await service.pull(f"{registry.address}/a/b:1")
    assert tries == 2


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_transient_answers_are_tried_again_and_then_named(service: ImageService, root: Path, status: int) -> None:
    failing = 2

    async def busy(request: web.Request) -> web.StreamResponse | None:
        nonlocal failing
        failing -= 1
        return web.Response(status=status) if failing >= 0 else None

    async with serving(hook=busy) as registry:
        await service.pull(f"{registry.address}/a/b:1")
        await service.delete(f"{registry.address}/a/b:1")
        failing = 1000
        with pytest.raises(Unavailable, match=str(status)) as caught:
            await service.pull(f"{registry.address}/a/b:1")
        assert caught.value.reason == "RegistryUnavailable"
    assert remains(root) == []


def changed(**fields: object) -> bytes:
    return json.dumps({**IMAGE.document, **fields}).encode()


def answer(path_part: str, body: bytes, content_type: str = oci.MANIFEST, **headers: str) -> object:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        return web.Response(body=body, content_type=content_type, headers=headers) if path_part in request.path else None

    return hook


LAYER_PATH = IMAGE.document["layers"][0]["digest"]
FLIPPED = IMAGE.blobs[LAYER_PATH][:-1] + bytes([IMAGE.blobs[LAYER_PATH][-1] ^ 1])


@pytest.mark.parametrize(
    ("hook", "error", "match"),
    [
        (answer("/manifests/", b"<html>", "text/html"), Invalid, "no JSON"),
        (answer("/manifests/", changed(manifests=[])), Invalid, "index and a manifest"),
        (answer("/manifests/", changed(), oci.INDEX), Invalid, "calls itself"),
        (answer("/manifests/", changed(), **{"Docker-Content-Digest": oci.digest(b"")}), Invalid, "does not match the digest"),
        (answer("/manifests/", b" " * (5 << 20)), TooLarge, "image manifest"),
        (answer("/manifests/", b'{"schemaVersion": 1}', "application/vnd.docker.distribution.manifest.v1+json"), PolongError, "schema 1"),
        (answer(LAYER_PATH, FLIPPED, "x/y"), Invalid, "does not match its digest"),
        (answer(LAYER_PATH, IMAGE.blobs[LAYER_PATH] + b"more", "x/y"), TooLarge, "larger than"),
        (answer(IMAGE.document["config"]["digest"], b"{}", "x/y"), PolongError, "config|digest|bytes"),
    ],
    ids=["html", "ambiguous", "type", "digest", "huge", "schema1", "flipped", "longer", "config"],
)
async def test_bad_answers_leave_nothing(service: ImageService, root: Path, hook: object, error: type[PolongError], match: str) -> None:
    async with serving(hook=hook) as registry:
        with pytest.raises(error, match=match) as caught:
            await service.pull(f"{registry.address}/a/b:1")
    assert caught.value.reason == "ErrImagePull"
    assert caught.value.message.startswith('failed to pull and unpack image "')
    assert remains(root) == []


async def test_a_manifest_by_digest_must_have_it(service: ImageService) -> None:
    async with serving(hook=answer("/manifests/", changed(annotations={"x": "y"}))) as registry:
        with pytest.raises(Invalid, match="does not match its digest"):
            await service.pull(f"{registry.address}/a/b@{IMAGE.digest}")


async def test_an_index_leads_to_this_platform(service: ImageService) -> None:
    entries = [
        {"mediaType": oci.MANIFEST, "digest": oci.digest(b"arm"), "size": 3, "platform": {"os": "linux", "architecture": "arm64"}},
        {
            "mediaType": oci.MANIFEST,
            "digest": IMAGE.digest,
            "size": len(IMAGE.manifest),
            "platform": {"os": "linux", "architecture": "amd64"},
        },
    ]
    body = json.dumps({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries}).encode()
    async with serving(hook=answer("/manifests/1", body, oci.INDEX)) as registry:
        image = await service.pull(f"{registry.address}/a/b:1")
    assert image.repo_digests == (f"{registry.address}/a/b@{oci.digest(body)}",)


def challenged(realm: str, seen: list[dict[str, str]], tokens: dict[str, str]) -> object:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        if request.path == "/token":
            seen.append({**request.query, "authorization": request.headers.get("Authorization", "")})
            token = tokens.get(request.headers.get("Authorization", ""))
            return web.json_response({"token": token}) if token else web.json_response({}, status=401)
        if request.headers.get("Authorization") in {f"Bearer {token}" for token in tokens.values()}:
            return None
        return web.Response(
            status=401, headers={"WWW-Authenticate": f'Bearer realm="{realm.format(host=request.host)}",service="s",scope="evil"'}
        )

    return hook


BASIC = "Basic " + base64.b64encode(b"me:secret").decode()


async def test_token_authentication(service: ImageService) -> None:
    seen: list[dict[str, str]] = []
    async with serving(hook=challenged("http://{host}/token", seen, {BASIC: "t0"})) as registry:
        with pytest.raises(Unauthorized, match="pull access denied") as caught:
            await service.pull(f"{registry.address}/a/b:1")
        assert "secret" not in caught.value.message
        image = await service.pull(f"{registry.address}/a/b:1", RegistryAuth(username="me", password="secret"))
    assert image.repo_tags
    assert {entry["scope"] for entry in seen} == {"repository:a/b:pull"}


async def test_an_identity_token_is_exchanged_and_goes_to_the_token_server_alone(service: ImageService) -> None:
    posted: list[dict[str, str]] = []

    async def hook(request: web.Request) -> web.StreamResponse | None:
        if request.path == "/token":
            assert request.method == "POST"
            posted.append({name: str(value) for name, value in (await request.post()).items()})
            return web.json_response({"access_token": "t1"})
        if request.headers.get("Authorization") == "Bearer t1":
            return None
        return web.Response(status=401, headers={"WWW-Authenticate": f'Bearer realm="http://{request.host}/token",service="s"'})

    async with serving(hook=hook) as registry:
        image = await service.pull(f"{registry.address}/a/b:1", RegistryAuth(identity_token="long-lived"))
    assert image.repo_tags
    assert posted[0] == {
        "grant_type": "refresh_token",
        "client_id": "polong",
        "refresh_token": "long-lived",
        "service": "s",
        "scope": "repository:a/b:pull",
    }
    assert not any("long-lived" in str(headers) for _, headers in registry.seen)


async def test_a_mirror_that_dies_after_the_manifest_is_passed_by(root: Path, tmp_path: Path) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        if "/blobs/" in request.path and request.transport is not None:
            request.transport.abort()
        return None

    async with serving(hook=hook) as mirror, serving() as registry:
        directory = tmp_path / "hosts" / registry.address
        directory.mkdir(parents=True)
        (directory / "hosts.toml").write_text(f'server = "http://{registry.address}"\n[host."http://{mirror.address}"]\n')
        service = ImageService(root, hosts=Hosts(tmp_path / "hosts"), architecture="amd64", timeouts=Timeouts(connect=2, read=2))
        await service.start()
        assert await service.pull(f"{registry.address}/a/b:1")
        assert {path.split("/")[-2] for path, _ in registry.seen} == {"blobs"}
        await service.aclose()


@pytest.mark.parametrize("realm", ["http://169.254.169.254/token", "file:///etc/shadow", "http://example.com/token", "ftp://x"])
async def test_credentials_go_to_no_strange_realm(service: ImageService, realm: str) -> None:
    async with serving(hook=challenged(realm, [], {})) as registry:
        with pytest.raises(Unauthorized, match="token server"):
            await service.pull(f"{registry.address}/a/b:1", RegistryAuth(username="me", password="secret"))


async def test_credentials_do_not_follow_a_redirect_to_another_origin(service: ImageService) -> None:
    async with serving() as storage:

        async def hook(request: web.Request) -> web.StreamResponse | None:
            if request.headers.get("Authorization") != BASIC:
                return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            if "/blobs/" in request.path:
                return web.Response(status=307, headers={"Location": f"http://{storage.address}{request.path}?signed=1"})
            return None

        async with serving(hook=hook) as registry:
            await service.pull(f"{registry.address}/a/b:1", RegistryAuth(username="me", password="secret"))
    assert len(storage.seen) == 3
    assert all("Authorization" not in headers for _, headers in storage.seen)


@pytest.mark.parametrize("location", ["http://169.254.169.254/x", "file:///etc/shadow", "http://example.com/x", "/v2/again", "http://[bad"])
async def test_strange_redirects_are_refused(service: ImageService, location: str) -> None:
    async def hook(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": location})

    async with serving(hook=hook) as registry:
        with pytest.raises(Invalid, match="redirects"):
            await service.pull(f"{registry.address}/a/b:1")


async def test_a_mirror_is_asked_first_and_gets_no_credentials(root: Path, tmp_path: Path) -> None:
    async with serving() as mirror, serving() as registry:
        directory = tmp_path / "hosts" / registry.address
        directory.mkdir(parents=True)
        (directory / "hosts.toml").write_text(f'server = "http://{registry.address}"\n[host."http://{mirror.address}"]\n')
        service = ImageService(root, hosts=Hosts(tmp_path / "hosts"), architecture="amd64")
        await service.start()
        await service.pull(f"{registry.address}/a/b:1", RegistryAuth(username="me", password="secret"))
        assert registry.seen == []
        assert all("Authorization" not in headers for _, headers in mirror.seen)
        await service.delete(f"{registry.address}/a/b:1")
        mirror.images.clear()
        await service.pull(f"{registry.address}/a/b:1")
        assert registry.seen
        await service.aclose()
