"""nftables, forwarding, the API's port, the way to a registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from polong.cli.probes.host import Finding, Host

_REGISTRY = "registry-1.docker.io"


def tables(host: Host) -> Iterator[Finding]:
    nft, iptables = host.which("nft"), host.which("iptables")
    if nft:
        yield Finding("nftables", "ok", f"{host.first_line([nft, '--version']) or 'present'} ({nft})")
    else:
        rest = "iptables alone is not enough" if iptables else "neither nft nor iptables"
        yield Finding("nftables", "fail", f"nft not found ({rest})", "Pods cannot reach anything outside", "apt install nftables")


def forwarding(host: Host) -> Iterator[Finding]:
    value = host.read("/proc/sys/net/ipv4/ip_forward")
    if value == "1":
        yield Finding("forwarding", "ok", "net.ipv4.ip_forward = 1")
    elif value is None:
        yield Finding(
            "forwarding", "warn", "net.ipv4.ip_forward cannot be read", "Pods may reach nothing outside", "mount /proc and /proc/sys"
        )
    else:
        yield Finding("forwarding", "ok", "net.ipv4.ip_forward = 0; the node turns it on when it starts")


def port(host: Host) -> Iterator[Finding]:
    if host.running:
        yield Finding("port", "ok", f"{host.port}, used by the running node")
    elif host.connect("127.0.0.1", host.port) == "":
        yield Finding("port", "warn", f"{host.port} is in use by another program", "the node cannot listen there", "polong up --port N")
    else:
        yield Finding("port", "ok", f"{host.port} is free")


def registry(host: Host) -> Iterator[Finding]:
    why = host.connect(_REGISTRY, 443)
    if why:
        means = "images cannot be pulled from Docker Hub; those that are here are used, also with imagePullPolicy Always"
        yield Finding(
            "registry", "warn", f"docker.io: {why}", means, "import images with `polong images import`, or set https_proxy for `polong up`"
        )
    else:
        yield Finding("registry", "ok", "docker.io answers")


PROBES: tuple[Callable[[Host], Iterator[Finding]], ...] = (tables, forwarding, port, registry)
