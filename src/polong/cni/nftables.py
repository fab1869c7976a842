"""The one nftables table of a node: Pods that leave their network do so with the host's address. Text for `nft -f -`. Pure."""

from __future__ import annotations

from polong.cni.config import NetworkPlan


def ruleset(network: NetworkPlan) -> str:
    """Idempotent: makes the table anew in one transaction."""
    table = f"table ip {network.name}"
    subnet = str(network.subnet)
    return (
        f"{table}\n"
        f"delete {table}\n"
        f"{table} {{\n"
        "  chain postrouting {\n"
        "    type nat hook postrouting priority srcnat; policy accept;\n"
        f"    ip saddr {subnet} ip daddr != {subnet} ip daddr != 224.0.0.0/4 masquerade\n"
        "  }\n"
        "}\n"
    )


def removal(network: NetworkPlan) -> str:
    """Idempotent: declares the table first, so that deleting cannot fail."""
    return f"table ip {network.name}\ndelete table ip {network.name}\n"
