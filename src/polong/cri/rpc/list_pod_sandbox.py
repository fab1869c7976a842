"""ListPodSandbox."""

from __future__ import annotations

from polong.cri import filters, views
from polong.cri.engine import Engine
from polong.criapi.wire import v1


async def list_pod_sandbox(engine: Engine, request: v1.ListPodSandboxRequest) -> v1.ListPodSandboxResponse:
    labels = request.filter.label_selector
    chosen = (each for each in engine.table.sandboxes.values() if filters.labels_match(each.config.labels, labels))
    items = (views.sandbox_item(each) for each in chosen)
    return v1.ListPodSandboxResponse(items=[item for item in items if filters.sandbox_matches(item, request.filter)])
