"""metrics.k8s.io/v1beta1, what `kubectl top` reads: nothing of it is stored. Source: k8s.io/metrics/pkg/apis/metrics/v1beta1."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from polong.api import status
from polong.api.discovery import METRICS
from polong.api.paths import Target
from polong.api.ports import ResourceMetrics
from polong.api.service import Request, Response
from polong.kit.errors import NotFound, Unavailable
from polong.objects.selectors import parse_field_selector, parse_label_selector

Json = dict[str, Any]

_API = "/".join(METRICS)
_KINDS = {"pods": "PodMetrics", "nodes": "NodeMetrics"}

Objects = Callable[[str, str], Awaitable[Sequence[Json]]]
"""Stored objects of a plural, of one namespace or of all."""


async def handle(request: Request, target: Target, query: Mapping[str, str], metrics: ResourceMetrics | None, objects: Objects) -> Response:
    """get and list. NotFound for a Pod none of whose containers runs."""
    if target.resource not in _KINDS or target.subresource or (target.resource == "nodes" and target.namespace):
        raise status.no_such_path()
    if request.method not in ("GET", "HEAD") or (target.resource == "pods" and target.name and not target.namespace):
        raise status.method_not_allowed()
    if metrics is None:
        raise Unavailable("the node is not running yet: try again in a moment")
    chosen = _chosen(await objects(target.resource, target.namespace), target, query)
    if target.resource == "pods":
        found = list(await metrics.of_pods(chosen))
    else:
        found = [each for node in chosen if (each := await metrics.of_node(node)) is not None]
    kind = _KINDS[target.resource]
    if target.name:
        if not found:
            raise NotFound(f'{target.resource}.metrics.k8s.io "{target.name}" not found')
        return Response(200, {"kind": kind, "apiVersion": _API, **found[0]})
    return Response(200, {"kind": f"{kind}List", "apiVersion": _API, "metadata": {}, "items": found})


def _chosen(stored: Sequence[Json], target: Target, query: Mapping[str, str]) -> list[Json]:
    labels, fields = parse_label_selector(query.get("labelSelector", "")), parse_field_selector(query.get("fieldSelector", ""))
    chosen = []
    for each in stored:
        metadata = each["metadata"]
        selectable = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
        if target.name in ("", metadata["name"]) and labels.matches(metadata.get("labels")) and fields.matches(selectable):
            chosen.append(each)
    return chosen
