"""Endpoints and EndpointSlices as `kubectl get` shows them. Source: printers.go (formatEndpoints, formatDiscoveryPorts …)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polong.api.tables.columns import AGE, NAME, Column

Json = dict[str, Any]

_SHOWN = 3


def _some(parts: Sequence[str], nothing: str) -> str:
    shown = ",".join(parts[:_SHOWN])
    return f"{shown} + {len(parts) - _SHOWN} more..." if len(parts) > _SHOWN else shown or nothing


def _addresses(endpoints: Json) -> str:
    found = []
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or (None,):
            found += [f"{each['ip']}:{port['port']}" if port else each["ip"] for each in subset.get("addresses") or ()]
    return _some(found, "<none>")


def _ports(piece: Json) -> str:
    return _some([str(each.get("port") or "*") for each in piece.get("ports") or ()], "<unset>")


def _of_slice(piece: Json) -> str:
    return _some([address for each in piece.get("endpoints") or () for address in each["addresses"]], "<unset>")


ENDPOINTS = (NAME, Column("Endpoints", lambda each, _: _addresses(each), description="Who is ready."), AGE)
SLICES = (
    NAME,
    Column("AddressType", lambda piece, _: str(piece["addressType"]), description="What the addresses are."),
    Column("Ports", lambda piece, _: _ports(piece), description="Ports of each endpoint."),
    Column("Endpoints", lambda piece, _: _of_slice(piece), description="Addresses."),
    AGE,
)
