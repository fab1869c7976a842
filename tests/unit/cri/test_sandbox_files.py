from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polong.cri import sandbox_files
from polong.criapi.wire import v1
from polong.kit.errors import Invalid


def test_resolv_conf() -> None:
    dns = v1.DNSConfig(servers=["10.0.0.10", "fd00::1"], searches=["ns.svc.cluster.local", "svc"], options=["ndots:5"])
    assert sandbox_files.resolv_conf(dns) == "search ns.svc.cluster.local svc\nnameserver 10.0.0.10\nnameserver fd00::1\noptions ndots:5\n"


@pytest.mark.parametrize("bad", ["a\nnameserver 6.6.6.6", "a\rb", "a\0b", "a b", "", "\x1b[2J", "a\u2028b"])
def test_a_line_cannot_be_smuggled_in(bad: str) -> None:
    for dns in (v1.DNSConfig(servers=[bad]), v1.DNSConfig(searches=[bad]), v1.DNSConfig(options=[bad])):
        with pytest.raises(Invalid):
            sandbox_files.resolv_conf(dns)


def test_files_are_made_and_taken_away(tmp_path: Path, node: Any) -> None:
    config = v1.PodSandboxConfig(hostname="pod", dns_config=v1.DNSConfig(servers=["1.2.3.4"]))
    sandbox_files.make(node.kernel, tmp_path, config)
    assert (tmp_path / "hostname").read_text() == "pod\n"
    assert (tmp_path / "resolv.conf").read_text() == "nameserver 1.2.3.4\n"
    assert (tmp_path / "hostname").stat().st_mode & 0o777 == 0o644
    assert node.world.shms == {str(tmp_path / "shm")}
    sandbox_files.unmake(node.kernel, tmp_path)
    assert node.world.shms == set()


def test_with_the_hosts_ipc_there_is_no_shm_of_the_pods_own(tmp_path: Path, node: Any) -> None:
    config = v1.PodSandboxConfig(hostname="pod")
    config.linux.security_context.namespace_options.ipc = v1.NODE
    sandbox_files.make(node.kernel, tmp_path, config)
    assert node.world.shms == set()
    assert sandbox_files.paths(tmp_path, config.linux.security_context.namespace_options).shm == ""
