"""subPath against somebody who changes the volume while it is mounted: what the host has is never reached."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from polong.kit.errors import Invalid
from polong.kubelet.volumes import subpath
from polong.linux import mountinfo, mounts

pytestmark = pytest.mark.root


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    own = tmp_path / "own"
    own.mkdir()
    yield own
    mounts.unmount_below(own)


def mounted(own: Path) -> list[str]:
    return [each.target for each in mountinfo.read() if each.target.startswith(f"{own}/")]


def test_a_directory_that_becomes_a_link_again_and_again(own: Path, tmp_path: Path) -> None:
    """CVE-2021-25741: the racer turns `part/deep` into a link to the host and back while it is opened and mounted."""
    canary = tmp_path / "canary"
    (canary / "deep").mkdir(parents=True)
    (canary / "deep" / "secret").write_text("canary")
    volume = tmp_path / "volume"
    (volume / "real" / "deep").mkdir(parents=True)
    (volume / "link").symlink_to(canary)
    over = threading.Event()

    def race() -> None:
        while not over.is_set():
            for source in ("real", "link"):
                with suppress(OSError):
                    os.rename(volume / source, volume / "part")  # noqa: PTH104
                    os.rename(volume / "part", volume / source)  # noqa: PTH104

    racer = threading.Thread(target=race)
    racer.start()
    made = refused = 0
    try:
        for index in range(300):
            try:
                target = subpath.prepare(own, ("v", volume), "part/deep", "c", index)
            except Invalid:
                refused += 1
                continue
            made += 1
            assert not (target / "secret").exists()
            mounts.unmount_below(target)
    finally:
        over.set()
        racer.join()
    assert made
    assert {str(each.relative_to(canary)) for each in canary.rglob("*")} == {"deep", "deep/secret"}
    assert mounted(own) == []


def test_a_part_is_mounted_once_and_again_when_it_is_another(own: Path, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o2770)
    os.chown(volume, -1, 4242)
    target = subpath.prepare(own, ("v", volume), "a/b", "c", 0)
    assert (volume / "a" / "b").stat().st_mode & 0o7777 == 0o2770
    assert (volume / "a" / "b").stat().st_gid == 4242
    before = [each.id for each in mountinfo.read() if each.target == str(target)]
    assert subpath.prepare(own, ("v", volume), "a/b", "c", 0) == target
    assert [each.id for each in mountinfo.read() if each.target == str(target)] == before
    # A file in place of the directory: the place of the mount changes its kind with it.
    (volume / "a" / "b").rmdir()
    (volume / "a" / "b").write_text("file")
    assert subpath.prepare(own, ("v", volume), "a/b", "c", 0).read_text() == "file"
    assert len(mounted(own)) == 1


@pytest.mark.parametrize("path", ["/a", "../a", "a/../../b", "a\0b"])
def test_paths_that_cannot_be(own: Path, tmp_path: Path, path: str) -> None:
    with pytest.raises(Invalid) as refused:
        subpath.prepare(own, ("v", tmp_path), path, "c", 0)
    assert refused.value.reason == "CreateContainerConfigError"
    assert list(own.iterdir()) == []
