"""Overlays over real layers."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from tests.fixtures import oci
from tests.integration.images.conftest import remains
from tests.integration.images.test_importing import bring

from polong.images.service import ImageService
from polong.kit.errors import BadRequest, NotFound
from polong.linux import mountinfo

BASE = (
    oci.directory(b"etc")
    + oci.file(b"etc/passwd", b"root:x:0:0::/:\n")
    + oci.file(b"etc/hosts", b"image's own")
    + oci.directory(b"tmp", 0o1777)
    + oci.file(b"tmp/kept", b"1")
    + oci.directory(b"d", 0o750, uid=5)
    + oci.file(b"d/old", b"old")
    + oci.file(b"gone", b"x")
    + oci.END
)
UPPER = oci.file(b".wh.gone") + oci.file(b"d/.wh..wh..opq") + oci.file(b"d/new", b"new") + oci.END


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def mounted(path: Path) -> bool:
    return any(mount.target == str(path) for mount in mountinfo.read())


async def test_the_layers_are_merged_and_a_container_writes_above_them(service: ImageService) -> None:
    [image] = await bring(service, oci.archive(oci.image([BASE, UPPER]), "a:1"))
    one = await service.mount_rootfs(str(image["id"]), "one")
    two = await service.mount_rootfs(str(image["id"]), "two")
    assert mounted(one)
    assert names(one) == ["d", "dev", "etc", "proc", "run", "sys", "tmp"]
    assert names(one / "d") == ["new"]
    assert (one / "d").stat().st_uid == 5
    assert (one / "tmp/kept").read_text() == "1"
    assert stat.S_IMODE((one / "tmp").stat().st_mode) == 0o1777
    assert (one / "etc/passwd").read_text() == "root:x:0:0::/:\n"
    assert (one / "etc/hosts").read_text() == ""
    (one / "etc/passwd").write_text("changed")
    assert (two / "etc/passwd").read_text() == "root:x:0:0::/:\n"
    assert await service.rootfs_keys() == ["one", "two"]
    await service.release_rootfs("one")
    await service.release_rootfs("one")
    assert not one.exists()
    assert not mounted(one)
    assert mounted(two)
    await service.release_rootfs("two")
    assert await service.rootfs_keys() == []


@pytest.mark.parametrize("name", ["dev", "proc", "sys", "etc", "run", "tmp"])
async def test_no_link_of_the_image_stands_where_a_runtime_mounts(service: ImageService, tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    layer = oci.symlink(name.encode(), str(canary).encode()) + oci.END
    [image] = await bring(service, oci.archive(oci.image([layer]), "evil:1"))
    root = await service.mount_rootfs(str(image["id"]), "evil")
    assert stat.S_ISDIR((root / name).lstat().st_mode)
    (root / name / "probe").write_text("x")
    assert list(canary.iterdir()) == []
    await service.release_rootfs("evil")


async def test_an_image_without_layers(service: ImageService) -> None:
    [image] = await bring(service, oci.archive(oci.image([]), "empty:1"))
    root = await service.mount_rootfs(str(image["id"]), "k")
    assert names(root) == ["dev", "etc", "proc", "run", "sys", "tmp"]
    await service.release_rootfs("k")


async def test_more_layers_than_one_page_of_options_names(service: ImageService) -> None:
    layers = [oci.file(b"f%03d" % index, b"x") + oci.END for index in range(45)]
    [image] = await bring(service, oci.archive(oci.image(layers), "many:1"))
    root = await service.mount_rootfs(str(image["id"]), "k")
    assert len([name for name in names(root) if name.startswith("f")]) == 45
    await service.release_rootfs("k")


async def test_a_layer_that_refers_to_those_below_it(service: ImageService) -> None:
    """Layers are unpacked side by side; these two only come out right above the finished first."""
    second = oci.file(b"d/e/implied", b"x") + oci.END
    third = oci.hardlink(b"linked", b"d/old") + oci.END
    [image] = await bring(service, oci.archive(oci.image([BASE, second, third]), "a:1"))
    root = await service.mount_rootfs(str(image["id"]), "k")
    assert ((root / "d").stat().st_uid, stat.S_IMODE((root / "d").stat().st_mode)) == (5, 0o750)
    assert (root / "linked").read_text() == "old"
    assert names(root / "d") == ["e", "old"]
    await service.release_rootfs("k")


async def test_a_container_outlives_its_image_and_the_daemon(service: ImageService, root: Path) -> None:
    [image] = await bring(service, oci.archive(oci.image([BASE]), "a:1"))
    merged = await service.mount_rootfs(str(image["id"]), "held")
    await service.delete(str(image["id"]))
    assert (merged / "tmp/kept").read_text() == "1"
    again = ImageService(root)
    await again.start()
    assert await again.rootfs_keys() == ["held"]
    assert (merged / "tmp/kept").read_text() == "1"
    await again.release_rootfs("held")
    await again.store.collect()
    assert remains(root) == []
    await again.aclose()


@pytest.mark.parametrize("key", ["", "..", "../x", "a/b", ".hidden", "a\0b", "k" * 129])
async def test_keys_are_plain_names(service: ImageService, key: str) -> None:
    with pytest.raises(BadRequest, match="malformed"):
        await service.release_rootfs(key)


async def test_an_unknown_image(service: ImageService) -> None:
    with pytest.raises(NotFound, match="no image"):
        await service.mount_rootfs("sha256:" + "0" * 64, "k")
    assert await service.rootfs_keys() == []
