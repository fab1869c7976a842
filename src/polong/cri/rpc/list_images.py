"""ListImages."""

from __future__ import annotations

from polong.cri.engine import Engine
from polong.cri.images import to_cri
from polong.criapi.wire import v1


async def list_images(engine: Engine, request: v1.ListImagesRequest) -> v1.ListImagesResponse:
    wanted = request.filter.image.image
    if wanted:
        found = await engine.images.get(wanted)
        return v1.ListImagesResponse(images=[] if found is None else [to_cri(found)])
    return v1.ListImagesResponse(images=[to_cri(each) for each in await engine.images.images()])
