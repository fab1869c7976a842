"""What crosses the seam to the CRI service."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PortMapping:
    """`protocol` is tcp, udp or sctp."""

    host_port: int
    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""


@dataclass(frozen=True)
class Attachment:
    """The Pod's addresses, first the primary one; without prefix length."""

    ips: tuple[str, ...]
