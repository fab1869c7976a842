"""ListContainers."""

from __future__ import annotations

from polong.cri import filters, views
from polong.cri.engine import Engine
from polong.criapi.wire import v1


async def list_containers(engine: Engine, request: v1.ListContainersRequest) -> v1.ListContainersResponse:
    labels = request.filter.label_selector
    # A kubelet asks for one Pod's containers all the time: what has other labels is not made into a message first.
    chosen = (each for each in engine.table.containers.values() if filters.labels_match(each.config.labels, labels))
    items = (views.container_item(each) for each in chosen)
    return v1.ListContainersResponse(containers=[item for item in items if filters.container_matches(item, request.filter)])
