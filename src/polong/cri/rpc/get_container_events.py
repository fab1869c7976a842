"""GetContainerEvents: created, started, stopped and deleted, of containers and (under their own id) of sandboxes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from polong.cri.engine import Engine
from polong.criapi.wire import v1


def get_container_events(engine: Engine, _request: v1.GetEventsRequest) -> AsyncIterator[v1.ContainerEventResponse]:
    """From the call on; Unavailable after one that was too slow to be kept up with."""
    return engine.events.subscribe()
