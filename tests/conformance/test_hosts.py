"""/etc/hosts: managed, with aliases and the Pod's full name, but not where somebody brings his own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance.cluster import Cluster
from tests.e2e.cluster import busybox, pod

HEAD = "# Kubernetes-managed hosts file."


@pytest.mark.behaviour("kubelet/host-aliases", "kubelet/managed-hosts", "network/fqdn")
def test_hosts_of_pods(cluster: Cluster, tmp_path: Path) -> None:
    own = {"name": "own", "mountPath": "/etc/hosts"}
    made = pod(
        "named",
        busybox("managed", "exec sleep 1000"),
        busybox("other", "exec sleep 1000"),
        busybox("mounted", "exec sleep 1000", volumeMounts=[own]),
        hostname="host",
        subdomain="sub",
        hostAliases=[{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}],
        volumes=[{"name": "own", "hostPath": {"path": str(tmp_path / "hosts"), "type": "FileOrCreate"}}],
    )
    (tmp_path / "hosts").write_text("1.2.3.4 mine\n")
    cluster.create("pods", made)
    cluster.create("pods", pod("node", busybox("c", "exec sleep 1000"), hostNetwork=True))
    told = cluster.ready("named")
    cluster.ready("node")
    lines = cluster.sh("named", "managed", "cat /etc/hosts").splitlines()
    assert lines[0] == HEAD
    assert f"{told['status']['podIP']}\thost.sub.{cluster.namespace}.svc.cluster.local\thost" in lines
    assert "123.45.67.89\tfoo\tbar" in lines
    assert cluster.sh("named", "other", "cat /etc/hosts").splitlines() == lines
    assert cluster.sh("named", "managed", "hostname; hostname -f") == f"host\nhost.sub.{cluster.namespace}.svc.cluster.local"
    assert cluster.sh("named", "mounted", "cat /etc/hosts") == "1.2.3.4 mine"
    assert (tmp_path / "hosts").read_text() == "1.2.3.4 mine\n"
    host = cluster.sh("node", "c", "cat /etc/hosts")
    assert not host.startswith(f"{HEAD}\n")
    assert host.removeprefix("# Kubernetes-managed hosts file (host network).\n").strip() == Path("/etc/hosts").read_text().strip()
