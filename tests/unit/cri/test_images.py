from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from polong.cri import images
from polong.criapi.wire import v1


@pytest.mark.parametrize(
    ("user", "uid", "name"),
    [("", None, ""), ("101", 101, ""), ("101:5", 101, ""), ("nginx", None, "nginx"), ("4294967296", None, "4294967296")],
)
def test_the_user_is_a_number_or_a_name(node: Any, user: str, uid: int | None, name: str) -> None:
    image = replace(node.images.image, config=replace(node.images.image.config, user=user))
    found = images.to_cri(image)
    assert (found.uid.value if found.HasField("uid") else None, found.username) == (uid, name)


async def test_status_of_what_is_not_there_is_empty(node: Any) -> None:
    found = await node.service.image_status(v1.ImageStatusRequest(image=v1.ImageSpec(image="nothing")))
    assert not found.HasField("image")
    found = await node.service.image_status(v1.ImageStatusRequest(image=v1.ImageSpec(image="busybox"), verbose=True))
    assert found.image.id == node.images.image.id
    assert '"Cmd": ["sh"]' in found.info["info"]


async def test_pull_passes_credentials_and_answers_with_the_id(node: Any) -> None:
    request = v1.PullImageRequest(image=v1.ImageSpec(image="busybox"), auth=v1.AuthConfig(username="u", password="p"))
    assert (await node.service.pull_image(request)).image_ref == node.images.image.id
    assert node.images.pulled_with.username == "u"
    await node.service.pull_image(v1.PullImageRequest(image=v1.ImageSpec(image="busybox")))
    assert node.images.pulled_with is None


async def test_list_and_file_system(node: Any) -> None:
    assert len((await node.service.list_images(v1.ListImagesRequest())).images) == 1
    wanted = v1.ListImagesRequest(filter=v1.ImageFilter(image=v1.ImageSpec(image="nothing")))
    assert len((await node.service.list_images(wanted)).images) == 0
    usage = (await node.service.image_fs_info(v1.ImageFsInfoRequest())).image_filesystems[0]
    assert (usage.used_bytes.value, usage.inodes_used.value) == (10, 2)


async def test_remove_asks_the_store_and_the_store_may_ask_who_uses_what(node: Any) -> None:
    await node.service.remove_image(v1.RemoveImageRequest(image=v1.ImageSpec(image="busybox")))
    assert "delete_image busybox" in node.world.calls
    assert node.service.images_in_use() == set()
    await node.create(await node.run())
    assert node.service.images_in_use() == {node.images.image.id}
