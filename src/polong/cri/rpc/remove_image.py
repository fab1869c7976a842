"""RemoveImage. Idempotent."""

from __future__ import annotations

from polong.cri.engine import Engine
from polong.criapi.wire import v1


async def remove_image(engine: Engine, request: v1.RemoveImageRequest) -> v1.RemoveImageResponse:
    await engine.images.delete(request.image.image)
    return v1.RemoveImageResponse()
