"""RemoveImage. Idempotent; what containers stand on is the store's to keep until they are gone."""

from __future__ import annotations

from polong.cri.engine import Engine
from polong.criapi.wire import v1


async def remove_image(engine: Engine, request: v1.RemoveImageRequest) -> v1.RemoveImageResponse:
    await engine.images.delete(request.image.image)
    return v1.RemoveImageResponse()
