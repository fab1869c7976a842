"""core/v1 Endpoints and discovery.k8s.io/v1 EndpointSlice: kept by controllers/services.py, or by whoever knows what no selector finds.

Source: pkg/apis/core/validation (ValidateEndpoints), pkg/apis/discovery/validation.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any

from polong.api.resources import fields, metadata
from polong.api.resources.kind import Context, Kind
from polong.api.resources.service_validation import PROTOCOLS
from polong.api.tables import endpoints as columns
from polong.kit.errors import Cause
from polong.objects import names
from polong.objects.gvk import ENDPOINT_SLICES, ENDPOINTS

Json = dict[str, Any]

_FAMILIES = ("FQDN", "IPv4", "IPv6")
_MAX_ENDPOINTS, _MAX_ADDRESSES, _MAX_PORTS = 1000, 100, 100
_SPECIAL = {
    "is_unspecified": "may not be unspecified (0.0.0.0 or ::)",
    "is_loopback": "may not be in the loopback range (127.0.0.0/8, ::1/128)",
    "is_link_local": "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
    "is_multicast": "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
}


def address_causes(address: str, path: str) -> Iterator[Cause]:
    """Of an address that packets will go to: nothing that means this host."""
    if errors := names.ip_errors(address):
        yield from (fields.invalid(path, address, error) for error in errors)
        return
    ip = ipaddress.ip_address(address)
    for kind, detail in _SPECIAL.items():
        if getattr(ip, kind):
            yield fields.invalid(path, address, detail)


class Endpoints(Kind):
    resource = ENDPOINTS
    singular = "endpoints"
    short_names = ("ep",)
    columns = columns.ENDPOINTS

    def default(self, obj: Json, context: Context) -> None:
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                port.setdefault("protocol", "TCP")

    def validate(self, obj: Json) -> Sequence[Cause]:
        causes = metadata.validate(obj, self.name_errors, namespaced=True)
        for index, subset in enumerate(obj.get("subsets") or ()):
            causes += _subset(subset, fields.at("subsets", index))
        return causes


def _subset(subset: Json, path: str) -> Iterator[Cause]:
    if not subset.get("addresses") and not subset.get("notReadyAddresses"):
        yield fields.required(path, "must specify `addresses` or `notReadyAddresses`")
    for part in ("addresses", "notReadyAddresses"):
        for index, each in enumerate(subset.get(part) or ()):
            where = fields.at(f"{path}.{part}", index)
            yield from address_causes(each.get("ip", ""), f"{where}.ip")
            for error in names.dns_label_errors(each["hostname"]) if each.get("hostname") else ():
                yield fields.invalid(f"{where}.hostname", each["hostname"], error)
    ports = subset.get("ports") or ()
    for index, port in enumerate(ports):
        where = fields.at(f"{path}.ports", index)
        name = port.get("name", "")
        if not name and len(ports) > 1:
            yield fields.required(f"{where}.name")
        for error in names.dns_label_errors(name) if name else ():
            yield fields.invalid(f"{where}.name", name, error)
        yield from _port(port, where)


def _port(port: Json, path: str) -> Iterator[Cause]:
    number = port.get("port", 0)
    if not 1 <= number <= 65535:
        yield fields.invalid(f"{path}.port", number, "must be between 1 and 65535, inclusive")
    if port["protocol"] not in PROTOCOLS:
        yield fields.unsupported(f"{path}.protocol", port["protocol"], PROTOCOLS)


class EndpointSlices(Kind):
    resource = ENDPOINT_SLICES
    singular = "endpointslice"
    columns = columns.SLICES
    has_generation = True
    generation_of = "endpoints"

    def default(self, obj: Json, context: Context) -> None:
        for port in obj.get("ports") or ():
            port.setdefault("name", "")
            port.setdefault("protocol", "TCP")

    def validate(self, obj: Json) -> Sequence[Cause]:
        causes = metadata.validate(obj, self.name_errors, namespaced=True)
        family = obj.get("addressType", "")
        if not family:
            causes.append(fields.required("addressType"))
        elif family not in _FAMILIES:
            causes.append(fields.unsupported("addressType", family, _FAMILIES))
        endpoints, ports = obj.get("endpoints") or [], obj.get("ports") or []
        if len(endpoints) > _MAX_ENDPOINTS:
            causes.append(fields.too_many("endpoints", len(endpoints), _MAX_ENDPOINTS))
        for index, each in enumerate(endpoints[:_MAX_ENDPOINTS]):
            causes += _endpoint(each, family, fields.at("endpoints", index))
        return [*causes, *_slice_ports(ports)]

    def validate_update(self, new: Json, old: Json, subresource: str) -> Sequence[Cause]:
        if new.get("addressType") != old.get("addressType"):
            return (fields.invalid("addressType", new.get("addressType", ""), "field is immutable"),)
        return ()


def _endpoint(endpoint: Json, family: str, path: str) -> Iterator[Cause]:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        yield fields.required(f"{path}.addresses", "must contain at least 1 address")
    if len(addresses) > _MAX_ADDRESSES:
        yield fields.too_many(f"{path}.addresses", len(addresses), _MAX_ADDRESSES)
    for index, address in enumerate(addresses[:_MAX_ADDRESSES]):
        where = fields.at(f"{path}.addresses", index)
        if family == "FQDN":
            yield from (fields.invalid(where, address, error) for error in names.dns_subdomain_errors(address))
            continue
        yield from address_causes(address, where)
        if not names.ip_errors(address) and f"IPv{ipaddress.ip_address(address).version}" != family:
            yield fields.invalid(where, address, f"must be a valid {family} address")
    for error in names.dns_label_errors(endpoint["hostname"]) if endpoint.get("hostname") else ():
        yield fields.invalid(f"{path}.hostname", endpoint["hostname"], error)


def _slice_ports(ports: Sequence[Json]) -> Iterator[Cause]:
    if len(ports) > _MAX_PORTS:
        yield fields.too_many("ports", len(ports), _MAX_PORTS)
    taken: set[str] = set()
    for index, port in enumerate(ports[:_MAX_PORTS]):
        path, name = fields.at("ports", index), port["name"]
        for error in names.dns_label_errors(name) if name else ():
            yield fields.invalid(f"{path}.name", name, error)
        if name in taken:
            yield fields.duplicate(f"{path}.name", name)
        taken.add(name)
        if port["protocol"] not in PROTOCOLS:
            yield fields.unsupported(f"{path}.protocol", port["protocol"], PROTOCOLS)
        if port.get("port") is not None and not 1 <= port["port"] <= 65535:
            yield fields.invalid(f"{path}.port", port["port"], "must be between 1 and 65535, inclusive")
