from pathlib import Path

import pytest

from polong.cli.node import NodeDir
from polong.daemon.config import RuntimeConfig, node_id, node_name


def test_every_host_wide_name_carries_the_nodes_id(tmp_path: Path) -> None:
    config = RuntimeConfig(root=tmp_path, lock=tmp_path / "lock", pod_cidr="10.244.1.0/24")
    for name in (config.cgroup_parent, str(config.run_dir)):
        assert config.node_id in name


def test_the_command_line_knows_the_same_id_and_run_directory(tmp_path: Path) -> None:
    config = RuntimeConfig(root=tmp_path, lock=tmp_path / "lock", pod_cidr="10.244.1.0/24")
    assert NodeDir(str(tmp_path)).node_id == node_id(tmp_path)
    assert NodeDir(str(tmp_path)).run_dir == config.run_dir


def test_two_ways_to_one_root_are_one_node(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert node_id(tmp_path / "a") == node_id(tmp_path / "b")


@pytest.mark.parametrize(("host", "name"), [("Vm", "vm"), ("my_host.lan", "my-host.lan"), ("-x-", "x"), ("___", "node")])
def test_node_names_are_dns_names(host: str, name: str) -> None:
    assert node_name(host) == name
