"""The plugin chain of a Pod, as configuration documents (CNI spec 1.0.0, section 1). Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polong.kit.errors import Invalid

Json = dict[str, Any]
VERSION = "1.0.0"
_NODE_ID = re.compile(r"[0-9a-z]{1,12}")


@dataclass(frozen=True)
class NetworkPlan:
    """Names and addresses of a node's Pod network. Build with `plan`."""

    node_id: str
    subnet: ipaddress.IPv4Network
    ipam_dir: Path
    services: ipaddress.IPv4Network | None = None
    """Virtual addresses; None where nobody leads their packets."""

    @property
    def name(self) -> str:
        return f"polong-{self.node_id}"

    @property
    def bridge(self) -> str:
        return f"pl{self.node_id}"

    @property
    def gateway(self) -> str:
        """host-local gives the first address to the gateway."""
        return f"{self.subnet.network_address + 1}/{self.subnet.prefixlen}"


def plan(node_id: str, pod_cidr: str, ipam_dir: Path, service_cidr: str = "") -> NetworkPlan:
    """Invalid where the id cannot be a part of an interface's name, or the range is no IPv4 network with room for Pods."""
    if not _NODE_ID.fullmatch(node_id):
        raise Invalid(f"node id {node_id!r} is not 1 to 12 lower-case letters and digits")
    try:
        subnet = ipaddress.IPv4Network(pod_cidr)
    except ValueError as error:
        raise Invalid(f"pod CIDR {pod_cidr!r} is no IPv4 network: {error}") from error
    if subnet.prefixlen > 29 or subnet.prefixlen < 8:
        raise Invalid(f"pod CIDR {pod_cidr!r} must have a prefix length of 8 to 29")
    return NetworkPlan(node_id, subnet, ipam_dir, ipaddress.IPv4Network(service_cidr) if service_cidr else None)


def chain(network: NetworkPlan) -> list[Json]:
    """The plugins for one Pod, in the order of ADD. Host ports are no plugin's: see hostports.py."""
    return [
        {
            "cniVersion": VERSION,
            "name": network.name,
            "type": "bridge",
            "bridge": network.bridge,
            "isGateway": True,
            # One nftables rule for the whole network does it (see nftables.py); the plugin's way costs an iptables run a Pod.
            "ipMasq": False,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": str(network.subnet)}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": str(network.ipam_dir),
            },
        }
    ]


def arguments(namespace: str, name: str, uid: str, sandbox_id: str) -> str:
    """CNI_ARGS. IgnoreUnknown comes first by custom; the values are Kubernetes names, which hold neither ';' nor '='."""
    pairs = {
        "IgnoreUnknown": "1",
        "K8S_POD_NAMESPACE": namespace,
        "K8S_POD_NAME": name,
        "K8S_POD_INFRA_CONTAINER_ID": sandbox_id,
        "K8S_POD_UID": uid,
    }
    for key, value in pairs.items():
        if set(value) & set(";=\n\0"):
            raise Invalid(f"{key} {value[:80]!r} cannot be passed to a network plugin")
    return ";".join(f"{key}={value}" for key, value in pairs.items())
