"""RemoveImage. Idempotent; an image that a container is made of stays."""

from __future__ import annotations

from polong.cri.engine import Engine
from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition


async def remove_image(engine: Engine, request: v1.RemoveImageRequest) -> v1.RemoveImageResponse:
    image = await engine.images.get(request.image.image)
    if image is not None and (request.image.image == image.id or len(image.repo_tags) <= 1):
        user = next((each.id for each in engine.table.containers.values() if each.record.image_id == image.id), None)
        if user is not None:
            raise FailedPrecondition(f"cannot remove image {request.image.image}: container {user} uses it")
    await engine.images.delete(request.image.image)
    return v1.RemoveImageResponse()
