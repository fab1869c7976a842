"""Plugin chains and node-wide names."""

import pytest

from polong.cni import config, nftables
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


def test_the_chain_is_the_bridge_alone(network):
    (bridge,) = config.chain(network)
    assert (bridge["type"], bridge["ipMasq"], bridge["isGateway"], bridge["hairpinMode"]) == ("bridge", False, True, True)


def test_arguments_cannot_be_forged():
    assert config.arguments("ns", "p", "u", "s").startswith("IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;")
    for name in ("a;K8S_POD_UID=x", "a=b", "a\nb"):
        with pytest.raises(Invalid):
            config.arguments("ns", name, "u", "s")
