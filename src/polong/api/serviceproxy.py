"""services/proxy: which ready endpoint answers. The passing on is that of Pods. Source: pkg/registry/core/service (ResourceLocation)."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from polong.api import podproxy
from polong.kit.errors import Unavailable
from polong.objects import service

Json = dict[str, Any]


def location(name: str, one: Json, slices: Iterable[Json]) -> str:
    """`scheme://address:port` of one of the Service's endpoints; `name` is `[scheme:]name[:port]`, the port a number or a name.
    BadRequest, Unavailable."""
    scheme, plain, wanted = podproxy.split(name, "service")
    ports = service.spec(one).get("ports") or ()
    named = [port for port in ports if wanted in (port.get("name", ""), str(port["port"]))] if wanted or len(ports) > 1 else ports
    if not named:
        raise Unavailable(f'no service port "{wanted}" found for service "{plain}"')
    found = []
    for piece in service.by_service(slices).get(service.key(one), ()):
        for port in piece.get("ports") or ():
            if port.get("name", "") == named[0].get("name", "") and port.get("port"):
                found += [(each["addresses"][0], port["port"]) for each in service.ready(piece.get("endpoints") or ())]
    if not found:
        raise Unavailable(f'no endpoints available for service "{plain}"')
    address, number = random.choice(found)
    return podproxy.url(scheme, address, str(number))
