from pathlib import Path
from typing import Any

import pytest

from polong.cli import network
from polong.cli.errors import Failure
from polong.cli.node import NodeDir

ROUTES = """Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeDir:
    routes = tmp_path / "route"
    routes.write_text(ROUTES)
    monkeypatch.setattr(network, "_ROUTES", routes)
    return NodeDir(str(tmp_path / "root"))


def test_the_default_is_a_free_subnet_that_stays_the_same(node: NodeDir) -> None:
    first = network.choose(node, None, "")
    assert first == network.choose(node, None, "")
    assert first == f"10.244.{int(node.node_id[:2], 16)}.0/24"


def test_a_taken_subnet_is_passed_over(node: NodeDir) -> None:
    own = int(node.node_id[:2], 16)
    network._ROUTES.write_text(ROUTES + f"br0\t00{own:02X}F40A\t0\t1\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")
    assert network.choose(node, None, "") == f"10.244.{(own + 1) % 256}.0/24"


def test_the_last_choice_is_kept(node: NodeDir) -> None:
    assert network.choose(node, None, "10.9.0.0/24") == "10.9.0.0/24"


def test_a_network_in_use_is_refused(node: NodeDir) -> None:
    with pytest.raises(Failure, match=r"overlaps with 192\.168\.1\.0/24"):
        network.choose(node, "192.168.0.0/16", "")


@pytest.mark.parametrize("text", ["10.0.0.1/24", "fd00::/64", "10.0.0.0/30", "x"])
def test_nonsense_is_refused(node: NodeDir, text: str) -> None:
    with pytest.raises(Failure, match="--pod-cidr"):
        network.choose(node, text, "")


def test_a_missing_program_says_how_to_get_it(monkeypatch: Any) -> None:
    with pytest.raises(Failure, match="not found: apt install it"):
        network.find_program("no-such-program-anywhere", "OCI runtime", "apt install it")
