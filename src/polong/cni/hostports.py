"""Host ports: which address and port of the node leads to which Pod. Pure; `nftables` makes rules of it.

A mapping without host IP is for every address of the node. The loopback addresses are told apart, since they need a rule of their own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from polong.cni.types import PortMapping
from polong.kit.errors import Invalid

PROTOCOLS = ("tcp", "udp", "sctp")
_ANY = ("", "0.0.0.0", "::")
_LOOPBACK = ipaddress.IPv4Network("127.0.0.0/8")


@dataclass(frozen=True)
class HostPort:
    """One port of the node. `address` is "" for every address."""

    address: str
    protocol: str
    number: int

    def __str__(self) -> str:
        return f"{self.address or '0.0.0.0'}:{self.number}/{self.protocol}"

    def clashes(self, other: HostPort) -> bool:
        """Kubernetes' rule: same protocol and number, and the same address, or one of the two is for every address."""
        same = (self.protocol, self.number) == (other.protocol, other.number)
        return same and (self.address == other.address or not self.address or not other.address)

    @property
    def loopback(self) -> bool:
        return bool(self.address) and ipaddress.IPv4Address(self.address) in _LOOPBACK


@dataclass(frozen=True)
class Forward:
    """What arrives at `port` goes to `target`:`target_port`."""

    port: HostPort
    target: str
    target_port: int


def host_port(mapping: PortMapping) -> HostPort:
    """Invalid where a number, the protocol or the address is none, or the address is IPv6 (the Pod network is not)."""
    if not 0 < mapping.host_port < 65536 or not 0 < mapping.container_port < 65536:
        raise Invalid(f"port mapping {mapping.host_port}:{mapping.container_port} is out of 1..65535")
    if mapping.protocol.lower() not in PROTOCOLS:
        raise Invalid(f"protocol {mapping.protocol!r} is none of {', '.join(PROTOCOLS)}")
    if mapping.host_ip in _ANY:
        return HostPort("", mapping.protocol.lower(), mapping.host_port)
    try:
        address = ipaddress.ip_address(mapping.host_ip)
    except ValueError as error:
        raise Invalid(f"host IP {mapping.host_ip!r} is no address") from error
    if address.version != 4:
        raise Invalid(f"host IP {mapping.host_ip} cannot be used: the Pod network is IPv4 only")
    return HostPort(str(address), mapping.protocol.lower(), mapping.host_port)


def forwards(mappings: Iterable[PortMapping], target: str) -> list[Forward]:
    return [Forward(host_port(mapping), target, mapping.container_port) for mapping in mappings]


def clash(wanted: Sequence[PortMapping], taken: Iterable[PortMapping]) -> HostPort | None:
    """The first of `wanted` that one of `taken`, or another of `wanted`, already has."""
    used = [host_port(mapping) for mapping in taken]
    for mapping in wanted:
        port = host_port(mapping)
        if any(port.clashes(other) for other in used):
            return port
        used.append(port)
    return None
