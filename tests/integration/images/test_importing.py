"""Archives: the project's own, those of other tools, and bad ones."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.fixtures import oci
from tests.integration.images.conftest import remains

from polong.images.admin import ImageAdmin
from polong.images.service import ImageService
from polong.kit.errors import FailedPrecondition, NotFound, PolongError

LAYER = oci.directory(b"bin") + oci.file(b"bin/true", b"#!", mode=0o755) + oci.END


async def stream(content: bytes, step: int = 65536) -> AsyncIterator[bytes]:
    for start in range(0, len(content), step):
        yield content[start : start + step]


async def output(command: list[str]) -> bytes:
    return await asyncio.to_thread(subprocess.check_output, command, timeout=60)


async def bring(service: ImageService, content: bytes, step: int = 65536) -> list[dict[str, object]]:
    events = [event async for event in ImageAdmin(service).import_archive(stream(content, step))]
    return [event["image"] for event in events if event["status"] == "done"]


@pytest.mark.parametrize(
    "name", ["docker.io/library/nginx:latest", "docker.io/library/busybox:1.28", "docker.io/library/static-web:latest"]
)
async def test_built_images_come_in_under_their_names(service: ImageService, built_images: dict[str, Path], name: str) -> None:
    [image] = await bring(service, built_images[name].read_bytes())
    assert image["repoTags"] == [name]
    found = await service.get(name)
    assert found is not None
    assert found.id == image["id"]
    assert found.config.cmd


async def test_layers_are_shared_and_collected_when_the_last_image_goes(service: ImageService, built_images: dict[str, Path]) -> None:
    await bring(service, built_images["docker.io/library/nginx:latest"].read_bytes())
    _, before, _ = await service.usage()
    await bring(service, built_images["docker.io/library/busybox:1.28"].read_bytes())
    _, both, _ = await service.usage()
    assert both - before < 10_000
    await service.delete("nginx")
    assert await service.get("nginx") is None
    assert await service.get("busybox:1.28") is not None
    await service.delete("busybox:1.28")
    await service.delete("busybox:1.28")
    assert remains(service.store.root) == []
    assert (await service.usage())[1:] == (0, 0)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
async def test_export_is_read_by_us_and_by_skopeo(service: ImageService, tmp_path: Path, pack: object) -> None:
    built = oci.image([LAYER], {"Cmd": ["/bin/true"], "StopSignal": "SIGQUIT"})
    [image] = await bring(service, pack(oci.archive(built, "example.com/a:1")), step=1000)  # type: ignore[operator]
    out = tmp_path / "out.tar"
    with out.open("wb") as file:
        async for data in ImageAdmin(service).export_archive(["example.com/a:1"]):
            file.write(data)
    raw = await output(["skopeo", "inspect", "--raw", f"oci-archive:{out}:example.com/a:1"])
    assert oci.digest(raw) == built.digest
    listed = json.loads(await output(["skopeo", "list-tags", f"docker-archive:{out}"]))
    assert listed["Tags"] == ["example.com/a:1"]
    await service.delete(str(image["id"]))
    [again] = await bring(service, out.read_bytes())
    assert again == image


async def test_docker_archives_of_another_tool(service: ImageService, built_images: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "docker.tar"
    source = f"oci-archive:{built_images['docker.io/library/busybox:1.28']}"
    command = ["skopeo", "copy", "-q", "--insecure-policy", source, f"docker-archive:{out}:example.com/busybox:x"]
    await output(command)
    with tarfile.open(out) as tar:
        assert "index.json" not in tar.getnames()
    [image] = await bring(service, out.read_bytes())
    assert image["repoTags"] == ["example.com/busybox:x"]


async def test_nothing_of_a_bad_archive_stays(service: ImageService, root: Path) -> None:
    good = oci.archive(oci.image([LAYER]), "a:1")
    flipped = bytearray(good)
    flipped[good.index(b"\x1f\x8b") + 30] ^= 1
    wrong = oci.archive(oci.image([LAYER], diff_ids=[oci.digest(b"other")]), "a:1")
    evil = oci.archive(oci.image([oci.file(b"../x", b"evil")]), "a:1")
    cut = gzip.compress(LAYER)[:-9]
    broken = oci.image([LAYER])
    document = broken.document
    document["layers"][0] |= {"digest": oci.digest(cut), "size": len(cut)}
    broken.manifest = json.dumps(document).encode()
    broken.blobs[oci.digest(cut)] = cut
    missing = oci.image([LAYER])
    missing.blobs.popitem()
    for content, match in (
        (b"", "empty"),
        (b"not an archive" * 100, "damaged"),
        (good[:3000], "cut off|lacks"),
        (bytes(flipped), "digest"),
        (wrong, "diff ID"),
        (evil, "climbs out"),
        (oci.archive(broken, "a:1"), "cut off"),
        (oci.archive(missing, "a:1"), "lacks"),
        (oci.archive(oci.image([LAYER]), "a:1").replace(b'"schemaVersion": 2', b'"schemaVersion": 3'), "."),
        (oci.file(b"x", b"y") + oci.END, "neither"),
        (oci.file(b"manifest.json", b"{}") + oci.END, "no list"),
        (oci.file(b"manifest.json", b'[{"Config": "../../etc/shadow", "Layers": []}]') + oci.END, "lacks"),
    ):
        with pytest.raises(PolongError, match=match) as caught:
            await bring(service, content)
        assert "\n" not in caught.value.message
        assert remains(root) == []
    await bring(service, good)
    assert await service.get("a:1") is not None


async def test_a_bomb_is_refused_by_name(service: ImageService, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polong.images.store._UNPACKED_LIMIT", 8 << 20)
    layer = oci.file(b"zeros", b"\0" * (16 << 20)) + oci.END
    with pytest.raises(PolongError, match="more than 8 MiB"):
        await bring(service, oci.archive(oci.image([layer]), "bomb:1"))
    assert remains(root) == []


async def test_removal_respects_what_is_in_use(service: ImageService) -> None:
    [image] = await bring(service, oci.archive(oci.image([LAYER]), "example.com/a:1"))
    admin = ImageAdmin(service)
    service.in_use = lambda: {str(image["id"])}
    for name in ("example.com/a:1", str(image["id"])):
        with pytest.raises(FailedPrecondition, match="a container uses it"):
            await admin.remove(name)
    assert await admin.prune() == []
    service.in_use = set
    with pytest.raises(NotFound):
        await admin.remove("nosuch")
    assert [pruned["id"] for pruned in await admin.prune()] == [image["id"]]
    assert await admin.list() == []


async def test_a_restart_finds_everything_and_clears_the_rest(service: ImageService, root: Path) -> None:
    [image] = await bring(service, oci.archive(oci.image([LAYER]), "example.com/a:1"))
    (root / "ingest" / "left").write_text("x")
    (root / "layers" / "new-left" / "deep").mkdir(parents=True)
    (root / "trash" / "left").mkdir()
    before = await service.get("example.com/a:1")
    again = ImageService(root)
    await again.start()
    assert await again.get(str(image["id"])) == before
    assert list((root / "ingest").iterdir()) == []
    assert not (root / "layers" / "new-left").exists()
    assert list((root / "trash").iterdir()) == []
    await again.aclose()


def test_the_builders_archives_are_reproducible(built_images: dict[str, Path]) -> None:
    with tarfile.open(built_images["docker.io/library/nginx:latest"]) as tar:
        member = tar.extractfile("index.json")
        assert member is not None
        index = json.load(member)
        blob = tar.extractfile("blobs/" + index["manifests"][0]["digest"].replace(":", "/"))
        assert blob is not None
        manifest = json.load(blob)
        layer = tar.extractfile("blobs/" + manifest["layers"][1]["digest"].replace(":", "/"))
        assert layer is not None
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.read()))) as files:
            assert {member.mtime for member in files} == {0}
            passwd = files.extractfile("etc/passwd")
            assert passwd is not None
            assert b"nginx:x:101:101:" in passwd.read()
