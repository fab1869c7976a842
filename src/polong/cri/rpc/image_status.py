"""ImageStatus. An image that is not present is no error: the answer is empty."""

from __future__ import annotations

import json

from polong.cri.engine import Engine
from polong.cri.images import to_cri
from polong.criapi.wire import v1


async def image_status(engine: Engine, request: v1.ImageStatusRequest) -> v1.ImageStatusResponse:
    image = await engine.images.get(request.image.image)
    if image is None:
        return v1.ImageStatusResponse()
    response = v1.ImageStatusResponse(image=to_cri(image))
    if request.verbose:
        config = image.config
        info = {
            "imageSpec": {
                "config": {
                    "User": config.user,
                    "Env": config.env,
                    "Entrypoint": config.entrypoint,
                    "Cmd": config.cmd,
                    "WorkingDir": config.working_dir,
                    "StopSignal": config.stop_signal,
                    "Labels": dict(config.labels),
                }
            }
        }
        response.info["info"] = json.dumps(info)
    return response
