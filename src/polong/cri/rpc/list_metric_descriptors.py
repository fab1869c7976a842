"""ListMetricDescriptors: which metrics ListPodSandboxMetrics gives."""

from __future__ import annotations

from polong.cri import metrics
from polong.cri.engine import Engine
from polong.criapi.wire import v1


async def list_metric_descriptors(_engine: Engine, _request: v1.ListMetricDescriptorsRequest) -> v1.ListMetricDescriptorsResponse:
    return v1.ListMetricDescriptorsResponse(descriptors=metrics.descriptors())
