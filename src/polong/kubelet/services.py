"""How Pods find Services: as environment variables, and as lines of /etc/hosts. Pure.

There is no DNS server here: the names that one would answer for stand in each Pod's hosts file, and are kept true there.
Source: kubelet pkg/kubelet/envvars (FromServices), getServiceEnvVarMap ("master services"); docs "DNS for Services and Pods".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from polong.objects import service

Json = dict[str, Any]

API = ("default", "kubernetes")
"""The Service by which every Pod finds the API, with service links or without."""


def variables(services: Iterable[Json], namespace: str, *, links: bool) -> Mapping[str, str]:
    """For a Pod of that namespace; `links` is enableServiceLinks."""
    chosen: dict[str, Json] = {}
    for one in sorted(services, key=service.key):
        if not service.cluster_ip(one):
            continue
        own_namespace, name = service.key(one)
        if own_namespace == namespace and links:
            chosen[name] = one
        elif (own_namespace, name) == API:
            chosen.setdefault(name, one)
    found: dict[str, str] = {}
    for one in chosen.values():
        found.update(_of_service(one))
    return found


def _of_service(one: Json) -> Iterator[tuple[str, str]]:
    prefix, address = _variable(one["metadata"]["name"]), service.cluster_ip(one)
    ports = service.spec(one).get("ports") or ()
    yield f"{prefix}_SERVICE_HOST", address
    for index, port in enumerate(ports):
        number, protocol = str(port["port"]), port.get("protocol", "TCP")
        url = f"{protocol.lower()}://{address}:{number}"
        if not index:
            yield f"{prefix}_SERVICE_PORT", number
            yield f"{prefix}_PORT", url
        if port.get("name"):
            yield f"{prefix}_SERVICE_PORT_{_variable(port['name'])}", number
        each = f"{prefix}_PORT_{number}_{protocol}"
        yield each, url
        yield f"{each}_PROTO", protocol.lower()
        yield f"{each}_PORT", number
        yield f"{each}_ADDR", address


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


def names(services: Iterable[Json], slices: Iterable[Json], namespace: str, domain: str) -> list[tuple[str, Sequence[str]]]:
    """(address, names) for a Pod of that namespace: what cluster DNS would answer, the full name first. Services that are only another
    name are answered for where that is a Service of this API."""
    there = {service.key(one): one for one in services}
    endpoints = service.by_service(slices)
    found: list[tuple[str, Sequence[str]]] = []
    for own, one in sorted(there.items()):
        mine = _names(own, namespace, domain)
        meant = _alias(one, domain) if service.is_external(one) else own
        target = there.get(meant) if meant is not None else None
        if target is not None:
            found += [(address, [*more, *mine]) for address, more in _addresses(target, endpoints.get(meant or own, ()), mine)]
    return found


def _names(own: service.Key, namespace: str, domain: str) -> list[str]:
    own_namespace, name = own
    full = f"{name}.{own_namespace}"
    return [f"{full}.svc.{domain}", f"{full}.svc", full, *([name] if own_namespace == namespace else [])]


def _alias(one: Json, domain: str) -> service.Key | None:
    """The Service that an ExternalName means, if it means one."""
    name, _, rest = str(service.spec(one).get("externalName") or "").removesuffix(".").partition(".")
    namespace, _, tail = rest.partition(".")
    return (namespace, name) if tail == f"svc.{domain}" else None


def _addresses(one: Json, pieces: Sequence[Json], names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each with the names of the one Pod that it belongs to."""
    if address := service.cluster_ip(one):
        yield address, []
        return
    seen = set()
    for piece in pieces:
        for endpoint in service.ready(piece.get("endpoints") or ()):
            address, host = endpoint["addresses"][0], endpoint.get("hostname")
            if service.is_headless(one) and address not in seen:
                seen.add(address)
                yield address, [f"{host}.{name}" for name in names] if host else []
