"""Which host ports clash, and the rules that are made of them."""

import pytest

from polong.cni import config, hostports, nftables
from polong.cni.types import PortMapping
from polong.kit.errors import Invalid


@pytest.mark.parametrize(
    ("port", "words"),
    [
        (PortMapping(0, 80), "out of 1..65535"),
        (PortMapping(80, 70000), "out of 1..65535"),
        (PortMapping(80, 80, "icmp"), "none of tcp, udp, sctp"),
        (PortMapping(80, 80, "tcp", "nowhere"), "no address"),
        (PortMapping(80, 80, "tcp", "1.2.3.4; flush ruleset"), "no address"),
        (PortMapping(80, 80, "tcp", "::1"), "IPv4 only"),
    ],
)
def test_bad_ports(port, words):
    with pytest.raises(Invalid, match=words):
        hostports.host_port(port)


@pytest.mark.parametrize(
    ("wanted", "taken", "clash"),
    [
        (PortMapping(80, 1), PortMapping(80, 2), True),
        (PortMapping(80, 1), PortMapping(80, 2, "udp"), False),
        (PortMapping(80, 1), PortMapping(81, 1), False),
        (PortMapping(80, 1, "TCP", "0.0.0.0"), PortMapping(80, 1, "tcp", "127.0.0.1"), True),
        (PortMapping(80, 1, "tcp", "10.0.0.1"), PortMapping(80, 1, "tcp", "127.0.0.1"), False),
        (PortMapping(80, 1, "tcp", "10.0.0.1"), PortMapping(80, 2, "tcp", "10.0.0.1"), True),
    ],
)
def test_clashes(wanted, taken, clash):
    assert (hostports.clash([wanted], [taken]) is not None) is clash
    assert (hostports.clash([wanted, taken], []) is not None) is clash


def test_rules(tmp_path):
    network = config.plan("0123abcd", "10.88.0.0/16", tmp_path)
    mappings = (PortMapping(8080, 80), PortMapping(53, 5353, "UDP", "192.0.2.1"), PortMapping(9000, 9, "tcp", "127.0.0.1"))
    text = nftables.ruleset(network, hostports.forwards(mappings, "10.88.0.5"))
    wild, exact, loopback = (line.strip() for line in text.splitlines() if "elements" in line)
    assert wild == "elements = { tcp . 8080 : 10.88.0.5 . 80 }"
    assert "127.0.0.1 . tcp . 8080 : 10.88.0.5 . 80, 192.0.2.1 . udp . 53 : 10.88.0.5 . 5353, 127.0.0.1 . tcp . 9000" in exact
    assert loopback == "elements = { 127.0.0.1 . tcp . 8080, 127.0.0.1 . tcp . 9000 }"
    assert 'iifname "pl0123abcd"' in text
    assert "fib daddr type local" in text
    assert text.startswith("table ip polong-0123abcd\ndelete table ip polong-0123abcd\n")
    bare = nftables.ruleset(network)
    assert "map" not in bare
    assert bare.count("masquerade") == 1
