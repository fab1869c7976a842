"""Choices that `up` makes before the node starts: a Pod network that nobody uses, programs that exist."""

from __future__ import annotations

import ipaddress
import os
import shutil
from pathlib import Path

from polong.cli.errors import Failure
from polong.cli.node import NodeDir

_POOL = ipaddress.IPv4Network("10.244.0.0/16")
_ROUTES = Path("/proc/net/route")
# "This network", loopback, link-local, multicast and reserved addresses: RFC 6890.
_SPECIAL = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
_PLUGINS = ("bridge", "host-local")
_PLUGIN_DIRS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_program(name: str, what: str, mend: str) -> str:
    """Its path. Failure where it is missing or not executable."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":" + _SEARCH)
    if found is None:
        raise Failure(f"{what} {name} not found: {mend}")
    return found


def choose(node: NodeDir, wanted: str | None, before: str) -> str:
    """The Pod network: what is asked for, else that of the last start, else a free /24 that starts at the node's own number."""
    routes = [network for name, network in host_routes() if name != f"pl{node.node_id}"]
    if wanted:
        network = _parse(wanted)
        for other in routes:
            if network.overlaps(other):
                raise Failure(f"--pod-cidr {wanted} overlaps with {other}, to which this host already has a route: choose another")
        if before and before != str(network) and (Path("/sys/class/net") / f"pl{node.node_id}").exists():
            raise Failure(f"the Pods of this node use {before}: remove them with `polong up && polong down` before changing --pod-cidr")
        return str(network)
    if before:
        return before
    subnets = list(_POOL.subnets(new_prefix=24))
    first = int(node.node_id[:2], 16)
    for subnet in subnets[first:] + subnets[:first]:
        if not any(subnet.overlaps(other) for other in routes):
            return str(subnet)
    raise Failure(f"no /24 of {_POOL} is free on this host: choose a network with --pod-cidr")


def _parse(text: str) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise Failure(f"--pod-cidr {text}: {error}") from error
    if not isinstance(network, ipaddress.IPv4Network) or not 8 <= network.prefixlen <= 28:
        raise Failure(f"--pod-cidr {text}: an IPv4 network between /8 and /28 is needed, such as 10.244.7.0/24")
    if (
        network.is_loopback
        or network.is_link_local
        or network.is_multicast
        or network.is_reserved
        or network.network_address.packed[0] == 0
    ):
        raise Failure(f"--pod-cidr {text}: no Pod can be reached at such addresses; choose a private network, such as 10.244.7.0/24")
    return network


def missing_plugins() -> list[str]:
    """The CNI plugins that no Pod with a network of its own can do without, and that are not here."""
    return [name for name in _PLUGINS if not any((directory / name).is_file() for directory in _PLUGIN_DIRS)]


def host_routes() -> list[tuple[str, ipaddress.IPv4Network]]:
    """(interface, network) of every route but the default one. Source: proc(5), /proc/net/route: little-endian hexadecimal."""
    found = []
    try:
        lines = _ROUTES.read_text().splitlines()[1:]
    except OSError:
        return []
    for line in lines:
        fields = line.split()
        if len(fields) < 8:
            continue
        address, mask = (ipaddress.IPv4Address(bytes.fromhex(fields[i])[::-1]) for i in (1, 7))
        if int(mask):
            found.append((fields[0], ipaddress.IPv4Network(f"{address}/{mask}", strict=False)))
    return found
