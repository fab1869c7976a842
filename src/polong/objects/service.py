"""Services and what stands behind them, as dicts: which address a Service has, and which Pods answer for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

NAME_LABEL = "kubernetes.io/service-name"
"""Of an EndpointSlice: the Service that it belongs to."""
HEADLESS = "None"

Key = tuple[str, str]
"""Namespace and name of a Service."""


def spec(service: Json) -> Json:
    found: Json = service.get("spec") or {}
    return found


def key(obj: Json) -> Key:
    metadata = obj["metadata"]
    return str(metadata.get("namespace", "")), str(metadata["name"])


def is_headless(service: Json) -> bool:
    return spec(service).get("clusterIP") == HEADLESS


def is_external(service: Json) -> bool:
    """Another name for something elsewhere, no address."""
    return spec(service).get("type") == "ExternalName"


def cluster_ip(service: Json) -> str:
    """Its own address; empty for headless ones and other names."""
    address = str(spec(service).get("clusterIP") or "")
    return "" if address == HEADLESS or is_external(service) else address


def has_node_ports(service: Json) -> bool:
    return spec(service).get("type") in ("NodePort", "LoadBalancer")


def by_service(slices: Iterable[Json]) -> Mapping[Key, list[Json]]:
    """The IPv4 slices of each Service, in the order of their names."""
    found: dict[Key, list[Json]] = {}
    for each in sorted(slices, key=key):
        owner = (each["metadata"].get("labels") or {}).get(NAME_LABEL)
        if owner and each.get("addressType") == "IPv4":
            found.setdefault((each["metadata"].get("namespace", ""), owner), []).append(each)
    return found


def ready(endpoints: Iterable[Json]) -> list[Json]:
    """Those that take connections: what says nothing of itself counts as ready (discovery/v1 EndpointConditions)."""
    return [each for each in endpoints if (each.get("conditions") or {}).get("ready") is not False]
