"""Virtual addresses: which address and port leads to which others. Pure; `nftables` makes rules of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class ServicePort:
    """Packets for `address`:`port`, and for `node_port` of any address of the node where it is not 0, go to one of `targets`, each an
    address and a port; `sticky`: always to the same one for one client, as long as the targets stay the same. `protocol` in lower case."""

    address: str
    protocol: str
    port: int
    targets: tuple[tuple[str, int], ...]
    node_port: int = 0
    sticky: bool = False


def to_json(ports: Sequence[ServicePort]) -> list[Json]:
    return [
        {
            "address": each.address,
            "protocol": each.protocol,
            "port": each.port,
            "targets": [list(target) for target in each.targets],
            "nodePort": each.node_port,
            "sticky": each.sticky,
        }
        for each in ports
    ]


def from_json(listed: Sequence[Json]) -> list[ServicePort]:
    """KeyError, TypeError, ValueError where it is none."""
    return [
        ServicePort(
            str(each["address"]),
            str(each["protocol"]),
            int(each["port"]),
            tuple((str(address), int(port)) for address, port in each["targets"]),
            int(each["nodePort"]),
            bool(each["sticky"]),
        )
        for each in listed
    ]
