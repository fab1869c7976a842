"""Which packets go where, from Services and EndpointSlices. Pure. Source: pkg/proxy (servicechangetracker, endpointschangetracker)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from polong.cni.services import ServicePort
from polong.objects import service

Json = dict[str, Any]


def ports(services: Iterable[Json], slices: Iterable[Json]) -> list[ServicePort]:
    """Every port of every Service with an address of its own, in a stable order; those that lead to the address itself are left out."""
    pieces = service.by_service(slices)
    found = []
    for one in sorted(services, key=service.key):
        address = service.cluster_ip(one)
        for port in (service.spec(one).get("ports") or ()) if address else ():
            targets = _targets(port, pieces.get(service.key(one), ()))
            if targets == ((address, port["port"]),):
                continue
            sticky = service.spec(one).get("sessionAffinity") == "ClientIP"
            node_port = port.get("nodePort") or 0
            found.append(ServicePort(address, port["protocol"].lower(), port["port"], targets, node_port, sticky))
    return found


def _targets(port: Json, pieces: Iterable[Json]) -> tuple[tuple[str, int], ...]:
    """Ready endpoints; where none is, those that still serve while they end."""
    ready: set[tuple[str, int]] = set()
    ending: set[tuple[str, int]] = set()
    for piece in pieces:
        for offered in piece.get("ports") or ():
            if offered.get("name", "") != port.get("name", "") or offered.get("protocol", "TCP") != port["protocol"]:
                continue
            # A slice without a number takes every port as it comes.
            number = offered.get("port") or port["port"]
            endpoints = piece.get("endpoints") or ()
            ready |= {(each["addresses"][0], number) for each in service.ready(endpoints)}
            ending |= {(each["addresses"][0], number) for each in endpoints if _ends(each)}
    return tuple(sorted(ready or ending))


def _ends(endpoint: Json) -> bool:
    found = endpoint.get("conditions") or {}
    return bool(found.get("serving")) and bool(found.get("terminating"))
