"""Plugin chains and node-wide names."""

import pytest

from polong.cni import config, nftables
from polong.cni.types import PortMapping
from polong.kit.errors import Invalid


@pytest.fixture
def network(tmp_path):
    return config.plan("0123abcd", "10.88.0.0/16", tmp_path)


def test_names_carry_the_node(network):
    assert (network.name, network.bridge, network.gateway) == ("polong-0123abcd", "pl0123abcd", "10.88.0.1/16")
    assert len(network.bridge) <= 15
    assert "table ip polong-0123abcd" in nftables.ruleset(network)
    assert nftables.ruleset(network).count("masquerade") == 1
    assert nftables.removal(network).endswith("delete table ip polong-0123abcd\n")


@pytest.mark.parametrize("node_id", ["", "UPPER", "a/b", "x" * 13, "a b"])
def test_bad_ids(node_id, tmp_path):
    with pytest.raises(Invalid):
        config.plan(node_id, "10.88.0.0/16", tmp_path)


@pytest.mark.parametrize("cidr", ["", "10.88.0.1/16", "10.88.0.0/30", "fd00::/64", "10.0.0.0/4", "x"])
def test_bad_ranges(cidr, tmp_path):
    with pytest.raises(Invalid, match="pod CIDR"):
        config.plan("a", cidr, tmp_path)


def test_portmap_only_for_host_ports(network):
    assert [plugin["type"] for plugin in config.chain(network, ())] == ["bridge"]
    bridge, portmap = config.chain(network, (PortMapping(8080, 80, "TCP", "127.0.0.1"),))
    assert (bridge["ipMasq"], bridge["isGateway"], bridge["hairpinMode"]) == (False, True, True)
    assert portmap["runtimeConfig"]["portMappings"] == [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"}]


@pytest.mark.parametrize(
    "port", [PortMapping(0, 80), PortMapping(80, 70000), PortMapping(80, 80, "icmp"), PortMapping(80, 80, "tcp", "nowhere")]
)
def test_bad_ports(network, port):
    with pytest.raises(Invalid):
        config.chain(network, (port,))


def test_arguments_cannot_be_forged():
    assert config.arguments("ns", "p", "u", "s").startswith("IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;")
    for name in ("a;K8S_POD_UID=x", "a=b", "a\nb"):
        with pytest.raises(Invalid):
            config.arguments("ns", name, "u", "s")
