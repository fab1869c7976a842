"""The one nftables table of a node: host ports, Services, and Pods that leave their network with the host's address. Pure: text for nft.

Packets for the node's loopback take a detour. The kernel lets none with a source in 127.0.0.0/8 leave through another interface (that
needs route_localnet, which opens every loopback service to the neighbours: CVE-2020-8558). So chain `depart` gives them the bridge's
address before connection tracking sees them, and chain `arrive` gives the answers back the address that the client's socket knows.

What goes from Pod to Pod by a Service leaves with the bridge's address (`_HAIRPIN`): the answer of a neighbour would not pass the rules
that gave the packet its destination. Addresses of Services that lead nowhere answer at once that they do not.

What a Pod sends under an address that is none of the Pod network's goes no further than the host (`guard`).

Port 443 of the gateway is where Pods find the API: no Pod takes it away from them by a host port for every address.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from polong.cni.config import NetworkPlan
from polong.cni.hostports import Forward
from polong.cni.services import ServicePort

_LOCALHOST = "127.0.0.1"
# Where another program's table already has redirected a packet, the first one wins: the priorities are the usual ones.
_CHAINS = """\
  chain hostports {{
    meta l4proto {{ tcp, udp, sctp }} dnat ip to ip daddr . meta l4proto . th dport map @exact
    ip daddr {gateway} tcp dport 443 return
    ip daddr != 127.0.0.0/8 meta l4proto {{ tcp, udp, sctp }} dnat ip to meta l4proto . th dport map @wild
  }}
  chain prerouting {{
    type nat hook prerouting priority -100; policy accept;
    fib daddr type local jump hostports
{services}  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    fib daddr type local jump hostports
{services}  }}
  chain depart {{
    type filter hook output priority -300; policy accept;
    ip saddr {localhost} ip daddr . meta l4proto . th dport @loopback ip saddr set {gateway}
  }}
  chain arrive {{
    type filter hook input priority 200; policy accept;
    iifname "{bridge}" ct status dnat ip saddr 127.0.0.0/8 ip daddr {gateway} ip daddr set {localhost}
  }}
"""
_POSTROUTING = """\
  chain guard {{
    type filter hook prerouting priority -300; policy accept;
    iifname "{bridge}" ip saddr != {{ {subnet}, 0.0.0.0 }} drop
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr {subnet} ip daddr != {subnet} ip daddr != 224.0.0.0/4 masquerade
{hairpin}  }}
"""
_SERVICES = """\
  chain services {{
    ip daddr {services} ip daddr . meta l4proto . th dport vmap @services
    fib daddr type local meta l4proto . th dport vmap @nodeports
  }}
"""
_UNSERVED = """\
  chain forward {{
    type filter hook forward priority 0; policy accept;
    ip daddr {services} reject
  }}
  chain local {{
    type filter hook output priority 0; policy accept;
    ip daddr {services} reject
  }}
"""
_JUMP = "    meta l4proto {{ tcp, udp, sctp }} jump services\n"
# A Pod that reaches a Pod by a host port or a Service: the answer must come back through the bridge, not from neighbour to neighbour.
_HAIRPIN = "    ip saddr {subnet} ip daddr {subnet} ct status dnat masquerade\n"


def ruleset(network: NetworkPlan, forwards: Sequence[Forward] = (), services: Sequence[ServicePort] = ()) -> str:
    """Idempotent: makes the table anew in one transaction. Without host ports and Services it is the guard and the masquerade rule."""
    table = f"table ip {network.name}"
    subnet = str(network.subnet)
    led = [each for each in services if each.targets] if network.services is not None else []
    hairpin = _HAIRPIN.format(subnet=subnet) if forwards or led else ""
    body = _POSTROUTING.format(subnet=subnet, bridge=network.bridge, hairpin=hairpin)
    if forwards or led:
        gateway = network.gateway.partition("/")[0]
        jump = _JUMP.format() if led else ""
        chains = _CHAINS.format(localhost=_LOCALHOST, gateway=gateway, bridge=network.bridge, services=jump)
        body = _maps(forwards, led) + (_served(network, led) if led else "") + chains + body
    if network.services is not None:
        body += _UNSERVED.format(services=network.services)
    return f"{table}\ndelete {table}\n{table} {{\n{body}}}\n"


def _maps(forwards: Sequence[Forward], services: Sequence[ServicePort]) -> str:
    wild = [f"{each.port.protocol} . {each.port.number} : {each.target} . {each.target_port}" for each in forwards if not each.port.address]
    # What is for every address is for localhost too.
    named = [(each.port.address or _LOCALHOST, each) for each in forwards]
    exact = [f"{address} . {each.port.protocol} . {each.port.number} : {each.target} . {each.target_port}" for address, each in named]
    loopback = [
        f"{address} . {each.port.protocol} . {each.port.number}" for address, each in named if not each.port.address or each.port.loopback
    ]
    own = {f"{_LOCALHOST} . {each.protocol} . {each.node_port}" for each in services if each.node_port}
    target = "ipv4_addr . inet_service"
    return (
        _set(f"map wild {{\n    type inet_proto . inet_service : {target}", wild)
        + _set(f"map exact {{\n    type ipv4_addr . inet_proto . inet_service : {target}", exact)
        + _set("set loopback {\n    type ipv4_addr . inet_proto . inet_service", loopback + sorted(own - set(loopback)))
    )


def _served(network: NetworkPlan, services: Sequence[ServicePort]) -> str:
    """A chain for each port, chosen by two maps."""
    chains, addresses, node_ports = "", [], []
    for index, each in enumerate(services):
        chains += f"  chain service{index} {{\n    {_choice(each)}\n  }}\n"
        addresses.append(f"{each.address} . {each.protocol} . {each.port} : goto service{index}")
        if each.node_port:
            node_ports.append(f"{each.protocol} . {each.node_port} : goto service{index}")
    return (
        chains
        + _set("map services {\n    type ipv4_addr . inet_proto . inet_service : verdict", addresses)
        + _set("map nodeports {\n    type inet_proto . inet_service : verdict", node_ports)
        + _SERVICES.format(services=network.services)
    )


def _choice(port: ServicePort) -> str:
    """One of the targets: at random, or by the client's address."""
    if len(port.targets) == 1:
        ((address, number),) = port.targets
        return f"meta l4proto {port.protocol} dnat ip to {address}:{number}"
    by = "jhash ip saddr" if port.sticky else "numgen random"
    listed = ", ".join(f"{index} : {address} . {number}" for index, (address, number) in enumerate(port.targets))
    return f"meta l4proto {port.protocol} dnat ip to {by} mod {len(port.targets)} map {{ {listed} }}"


def _set(head: str, elements: Iterable[str]) -> str:
    listed = ", ".join(elements)
    return f"  {head}\n{f'    elements = {{ {listed} }}' if listed else ''}\n  }}\n"


def removal(network: NetworkPlan) -> str:
    """Idempotent: declares the table first, so that deleting cannot fail."""
    return f"table ip {network.name}\ndelete table ip {network.name}\n"
