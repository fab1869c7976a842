"""CheckpointContainer: refused by name. Restoring a checkpoint lets an image say what a container's mounts and devices are."""

from __future__ import annotations

from polong.cri.engine import Engine
from polong.criapi.wire import v1
from polong.kit.errors import Unsupported


async def checkpoint_container(engine: Engine, request: v1.CheckpointContainerRequest) -> v1.CheckpointContainerResponse:
    """NotFound for a container that is not known; else Unsupported, which is gRPC's Unimplemented."""
    container = engine.table.container(request.container_id)
    raise Unsupported(f"cannot checkpoint container {container.id}: checkpoints are not supported by this runtime")
