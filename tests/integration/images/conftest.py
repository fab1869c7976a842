"""A store of its own for each test; whatever a test mounts is unmounted."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.fixtures.images import built_images
from tests.fixtures.registry import docker_registry

from polong.images.hosts import Hosts
from polong.images.registry import Timeouts
from polong.images.service import ImageService
from polong.linux import mounts

__all__ = ["built_images", "docker_registry"]

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.root)
            if os.getuid() != 0:
                item.add_marker(pytest.mark.skip(reason="needs root: owners, devices, overlay mounts"))


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "images"
    yield path
    if path.exists():
        mounts.unmount_below(path)


@pytest.fixture
async def service(root: Path) -> AsyncIterator[ImageService]:
    service = ImageService(root, hosts=Hosts(loopback_http=True), architecture="amd64", timeouts=Timeouts(connect=2, read=2))
    await service.start()
    yield service
    await service.aclose()


def remains(root: Path) -> list[str]:
    """Everything below a store but its own empty directories and the catalog."""
    return sorted(
        str(path.relative_to(root)) for path in root.rglob("*") if len(path.relative_to(root).parts) > 1 and path.name != "sha256"
    )
