"""PullImage."""

from __future__ import annotations

from polong.cri.engine import Engine
from polong.cri.images import auth
from polong.criapi.wire import v1


async def pull_image(engine: Engine, request: v1.PullImageRequest) -> v1.PullImageResponse:
    """`image_ref` is the id, which all other RPCs take. Errors carry Kubernetes' reason (ErrImagePull and kin)."""
    image = await engine.images.pull(request.image.image, auth(request.auth))
    return v1.PullImageResponse(image_ref=image.id)
