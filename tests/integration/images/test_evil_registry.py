"""What a registry may send, row by row of docs/security.md, and what a good one may: pulls over the wire, from scripted registries and a
real one with passwords."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from backports import zstd
from tests.fixtures import oci
from tests.fixtures.registry import push, scripted
from tests.integration.images.conftest import remains

from polong.images.model import RegistryAuth
from polong.images.service import ImageService
from polong.kit.errors import PolongError, Unauthorized

GOOD = oci.image([oci.file(b"good", b"1") + oci.END])


def packed(layer: bytes, media_type: str = f"{oci.LAYER}+gzip", *, size: int | None = None, **manifest: object) -> oci.BuiltImage:
    """An image whose only layer is these very bytes, whatever they are."""
    built = oci.image([b"x" + oci.END])
    document = built.document
    document["layers"] = [{"mediaType": media_type, "digest": oci.digest(layer), "size": len(layer) if size is None else size}]
    built.manifest = json.dumps({**document, **manifest}).encode()
    built.blobs[oci.digest(layer)] = layer
    return built


def sparse(claimed: int) -> bytes:
    """GNU's sparse map in a PAX header: a few bytes that claim to be a giant."""
    records = {b"GNU.sparse.major": b"0", b"GNU.sparse.minor": b"1", b"GNU.sparse.size": b"%d" % claimed, b"GNU.sparse.map": b"0,512"}
    return oci.pax(records) + oci.file(b"sparse", b"x" * 512)


_BOMBS = {
    "zeros": gzip.compress(oci.file(b"zeros", b"\0" * (48 << 20)) + oci.END, 9),
    "nested zstd": zstd.compress(oci.file(b"zeros", b"\0" * (48 << 20)) + oci.END, 19),
    "a giant size": gzip.compress(oci.header(b"giant", size_field=b"\x80" + b"\xff" * 11) + b"x" * 512),
    "a giant header": gzip.compress(oci.header(b"PaxHeaders/x", b"x", 1 << 30) + b"x" * 4096),
    "many headers": gzip.compress(b"".join(oci.pax({b"comment": b"c" * 60_000}) for _ in range(200)) + oci.file(b"f") + oci.END),
    "a giant window": bytes.fromhex("28b52ffd") + bytes([0x00, 0xF8]) + b"\x01\x00\x00" * 64,
    "cut zstd": zstd.compress(os.urandom(100_000))[:-50],
    "no archive": os.urandom(20_000),
}


@pytest.mark.parametrize("name", _BOMBS)
async def test_a_bomb_leaves_nothing_and_holds_nobody_up(
    service: ImageService, root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 47; the pull after it is as good as ever (row 40: a malformed layer once held a store's lock for ever)."""
    monkeypatch.setattr("polong.images.store._UNPACKED_LIMIT", 32 << 20)
    kind = f"{oci.LAYER}+zstd" if "zstd" in name or "window" in name else f"{oci.LAYER}+gzip"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    begun = time.monotonic()
    async with scripted(images={("bomb", "1"): packed(_BOMBS[name], kind), ("good", "1"): GOOD}) as registry:
        with pytest.raises(PolongError) as caught:
            await service.pull(f"{registry.address}/bomb:1")
        assert remains(root) == []
        assert (await service.pull(f"{registry.address}/good:1")).repo_tags
    assert caught.value.reason == "ErrImagePull"
    assert "\n" not in caught.value.message
    assert time.monotonic() - begun < 20
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - before < 256 << 10


async def test_a_sparse_giant_is_as_small_as_it_is_or_refused(service: ImageService, root: Path) -> None:
    async with scripted(images={("sparse", "1"): packed(gzip.compress(sparse(1 << 60) + oci.END))}) as registry:
        with pytest.raises(PolongError):
            # Whatever is made of the map, the layer is not the one that its configuration names.
            await service.pull(f"{registry.address}/sparse:1")
    assert remains(root) == []


@pytest.mark.parametrize("ending", ["/manifests/", str(GOOD.document["config"]["digest"])], ids=["manifest", "configuration"])
async def test_documents_without_end(service: ImageService, root: Path, ending: str) -> None:
    """Row 58: the bound is on what comes, not on what a header says."""

    async def endless(request: web.Request) -> web.StreamResponse | None:
        if ending not in request.path:
            return None
        response = web.StreamResponse(headers={"Content-Type": oci.MANIFEST})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _ in range(1024):
            await response.write(b" " * (1 << 20))
        return response

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with scripted(images={("a/b", "1"): GOOD}, hook=endless) as registry:
        with pytest.raises(PolongError, match=r"larger|manifest|longer|more"):
            await service.pull(f"{registry.address}/a/b:1")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
    assert remains(root) == []


async def test_claims_that_are_too_large(service: ImageService) -> None:
    huge = GOOD.document
    huge["config"] |= {"size": 9 << 20}
    many = GOOD.document
    many["layers"] *= 501
    for name, document in (("config", huge), ("layers", many)):
        image = oci.BuiltImage(json.dumps(document).encode(), GOOD.blobs)
        async with scripted(images={("a", "1"): image}) as registry:
            with pytest.raises(PolongError, match=r"configuration|500"):
                await service.pull(f"{registry.address}/a:1")
            assert len([path for path, _ in registry.seen if "/blobs/" in path]) == 0, name


async def test_an_index_in_an_index_in_an_index(service: ImageService) -> None:
    asked: list[str] = []

    async def nested(request: web.Request) -> web.StreamResponse | None:
        if "/manifests/" not in request.path:
            return None
        asked.append(request.path)
        platform = {"os": "linux", "architecture": "amd64"}
        body = b""
        for depth in range(20):
            entry = {"mediaType": oci.INDEX if depth else oci.MANIFEST, "digest": oci.digest(body), "size": len(body), "platform": platform}
            body = json.dumps({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [entry]}).encode()
            bodies[oci.digest(body)] = body
        return web.Response(body=bodies.get(request.path.rpartition("/")[2], body), content_type=oci.INDEX)

    bodies: dict[str, bytes] = {}
    async with scripted(hook=nested) as registry:
        with pytest.raises(PolongError):
            await service.pull(f"{registry.address}/a:1")
    assert len(asked) <= 4


async def test_a_tag_that_moves_during_a_pull(service: ImageService) -> None:
    """Row 59: a tag is resolved once; what it says next is the next pull's."""
    other = oci.image([oci.file(b"other", b"2") + oci.END])
    answers = [GOOD, other]

    async def moving(request: web.Request) -> web.StreamResponse | None:
        if not request.path.endswith("/manifests/1"):
            return None
        image = answers.pop(0) if len(answers) > 1 else answers[0]
        headers = {"Docker-Content-Digest": image.digest}
        return web.Response(body=image.manifest, content_type=oci.MANIFEST, headers=headers)

    async with scripted(images={("a", "1"): GOOD}, hook=moving) as registry:
        pulled = await service.pull(f"{registry.address}/a:1")
    assert pulled.repo_digests == (f"{registry.address}/a@{GOOD.digest}",)


async def test_layers_come_beside_each_other(service: ImageService) -> None:
    """Four layers that each take half a second do not take two."""
    image = oci.image([oci.file(b"f%d" % number, os.urandom(1000)) + oci.END for number in range(4)])
    layers = [each["digest"] for each in image.document["layers"]]
    under_way = most = 0

    async def slow(request: web.Request) -> web.StreamResponse | None:
        nonlocal under_way, most
        if request.path.rpartition("/")[2] in layers:
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.3)
            under_way -= 1
        return None

    async with scripted(images={("a", "1"): image}, hook=slow) as registry:
        await service.pull(f"{registry.address}/a:1")
    assert most >= 3


_DOCKER = {
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "layer": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}


async def test_dockers_own_types_and_zstd(service: ImageService) -> None:
    """Manifests of Docker's schema 2, a list of them, and layers in zstd."""
    content = oci.file(b"which", b"docker") + oci.END
    docker = oci.image([content])
    document = docker.document
    document["mediaType"], document["config"]["mediaType"] = _DOCKER["manifest"], _DOCKER["config"]
    document["layers"][0]["mediaType"] = _DOCKER["layer"]
    docker.manifest = json.dumps(document).encode()
    squeezed = zstd.compress(content)
    modern = oci.image([content])
    modern.manifest = packed(squeezed, f"{oci.LAYER}+zstd", config=modern.document["config"]).manifest
    modern.blobs[oci.digest(squeezed)] = squeezed
    platform = {"os": "linux", "architecture": "amd64"}
    entry = {"mediaType": _DOCKER["manifest"], "digest": docker.digest, "size": len(docker.manifest), "platform": platform}
    listed = "application/vnd.docker.distribution.manifest.list.v2+json"
    index = oci.BuiltImage(json.dumps({"schemaVersion": 2, "mediaType": listed, "manifests": [entry]}).encode())

    async def types(request: web.Request) -> web.StreamResponse | None:
        if request.path.endswith("/manifests/list"):
            return web.Response(body=index.manifest, content_type=listed)
        return None

    async with scripted(images={("d", "1"): docker, ("z", "1"): modern}, hook=types) as registry:
        for name in ("d:1", "z:1", "d:list"):
            image = await service.pull(f"{registry.address}/{name}")
            root = await service.mount_rootfs(image.id, "k")
            assert (root / "which").read_text() == "docker", name
            await service.release_rootfs("k")


_HASH = "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[tuple[str, str]]:
    """A real registry with a password file, and the archive's name in it."""
    from tests.fixtures.registry import served

    passwords = tmp_path / "htpasswd"
    # bcrypt of "secret".
    passwords.write_text(f"me:{_HASH}\n")
    with served(tmp_path, f"auth:\n  htpasswd: {{realm: here, path: {passwords}}}\n") as address:
        yield address, "me:secret"


async def test_basic_authentication_with_a_real_registry(
    service: ImageService, guarded: tuple[str, str], built_images: dict[str, Path], root: Path
) -> None:
    address, credentials = guarded
    name = f"{address}/library/static:1"
    push(built_images["docker.io/library/static-web:latest"], name, credentials)
    for auth in (None, RegistryAuth(username="me", password="wrong"), RegistryAuth(username="you", password="secret")):
        with pytest.raises(Unauthorized) as caught:
            await service.pull(name, auth)
        assert "wrong" not in caught.value.message
        assert remains(root) == []
    image = await service.pull(name, RegistryAuth(username="me", password="secret"))
    assert image.config.entrypoint == ("/httpd",)
