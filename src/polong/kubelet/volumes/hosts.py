"""The /etc/hosts of containers, as the kubelet writes it. Text is pure; every field is one printable word.

Source: kubelet nodeHostsFileContent, managedHostsFileContent.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from polong.kit.errors import Invalid

Json = dict[str, Any]

HEADER = "# Kubernetes-managed hosts file.\n"
_BEGIN, _END = "\n# Services; the node keeps these lines.\n", "# End of Services.\n"
HOST_HEADER = "# Kubernetes-managed hosts file (host network).\n"
_LOCAL = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "fe00::0\tip6-mcastprefix\n"
    "fe00::1\tip6-allnodes\n"
    "fe00::2\tip6-allrouters\n"
)


def managed(ips: Sequence[str], hostname: str, domain: str, aliases: Sequence[Json]) -> str:
    """For a Pod with a network of its own; `domain` empty where the Pod has no subdomain."""
    names = f"{_word(hostname)}.{_word(domain)}\t{_word(hostname)}" if domain else _word(hostname)
    return HEADER + _LOCAL + "".join(f"{_address(each)}\t{names}\n" for each in ips) + _aliases(aliases)


def of_host(text: str, aliases: Sequence[Json]) -> str:
    """For a Pod in the node's network: the node's own file."""
    return HOST_HEADER + text.rstrip("\n") + "\n" + _aliases(aliases)


def services(names: Sequence[tuple[str, Sequence[str]]] | None) -> str:
    """The part that changes while the Pod runs: (address, names) of Services; None gives no such part."""
    if names is None:
        return ""
    return _BEGIN + "".join("{}\t{}\n".format(_address(address), "\t".join(map(_word, own))) for address, own in names) + _END


def with_services(text: str, part: str) -> str:
    """`text` with this part for the one it has; as it is where a container took that away."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    return before + part + after if begin and end else text


def _aliases(aliases: Sequence[Json]) -> str:
    if not aliases:
        return ""
    lines = ["\n# Entries added by HostAliases.\n"]
    for each in aliases:
        names = "\t".join(_word(name) for name in each.get("hostnames") or ())
        lines.append(f"{_address(each['ip'])}\t{names}\n")
    return "".join(lines)


def _word(text: str) -> str:
    if not text or not text.isascii() or not text.isprintable() or any(each in text for each in " #"):
        raise Invalid(f"{text[:80]!r} cannot stand in a hosts file", reason="CreateContainerConfigError")
    return text


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise Invalid(f"{text[:80]!r} is not an IP address", reason="CreateContainerConfigError") from error
