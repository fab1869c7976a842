"""What goes when the disk is full: unused images that a registry can give again, the longest unused first, no more than needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kubelet.conftest import Bench
from tests.unit.kubelet.doubles import pod

from polong.criapi.wire import v1
from polong.kubelet.events import Recorder
from polong.kubelet.imagegc import Disk, Held, ImageCollector, to_free, victims


@pytest.mark.parametrize(("available", "need"), [(16, 0), (15, 5), (10, 10), (0, 20)])
def test_from_85_percent_down_to_80(available: int, need: int) -> None:
    assert to_free(Disk(100, available), 85, 80) == need


HELD = st.builds(Held, st.uuids().map(str), st.integers(1, 50), st.floats(0, 1000), st.floats(0, 1000))


@given(st.lists(HELD, unique_by=lambda each: each.id), st.integers(1, 200))
def test_victims_are_the_longest_unused_and_no_more_than_needed(images: list[Held], need: int) -> None:
    chosen = victims(images, need, 1000.0, 120.0)
    assert all(each.detected <= 880.0 for each in chosen)
    assert sum(each.size for each in chosen[:-1]) < need
    spared = [each for each in images if each.detected <= 880.0 and each not in chosen]
    assert all(each.last_used <= other.last_used for each in chosen for other in spared)


class Images:
    def __init__(self, bench: Bench, *images: v1.Image) -> None:
        self.images = {each.id: each for each in images}
        self.image_fs_info = bench.images.image_fs_info

    async def list_images(self, request: v1.ListImagesRequest) -> v1.ListImagesResponse:
        return v1.ListImagesResponse(images=self.images.values())

    async def remove_image(self, request: v1.RemoveImageRequest) -> v1.RemoveImageResponse:
        del self.images[request.image.image]
        return v1.RemoveImageResponse()


def collector(bench: Bench, images: Images, available: int) -> ImageCollector:
    def disk(path: Path) -> Disk:
        return Disk(1000, available)

    recorder = Recorder(bench.api, "node", bench.clock)
    return ImageCollector(replace(bench.config, image_min_age=0.0), (bench.runtime, images), recorder, bench.clock, disk)  # type: ignore[arg-type]


async def test_only_what_is_unused_and_pullable_goes(bench: Bench) -> None:
    bench.api.create(pod())
    await bench.until(lambda: bench.runtime.live("app"))
    (running,) = (await bench.runtime.list_containers(v1.ListContainersRequest())).containers
    images = Images(
        bench,
        v1.Image(id="used", repo_tags=[running.image.image], repo_digests=["a@sha256:1"], size=500),
        v1.Image(id="imported", repo_tags=["own:1"], size=500),
        v1.Image(id="pinned", repo_digests=["b@sha256:2"], size=500, pinned=True),
        v1.Image(id="pulled", repo_digests=["c@sha256:3"], size=500),
    )
    await collector(bench, images, available=161).collect()
    assert len(images.images) == 4, "there is room"
    await collector(bench, images, available=100).collect()
    assert sorted(images.images) == ["imported", "pinned", "used"]
