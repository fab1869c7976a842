"""The node's own objects, and what it does to logs."""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from tests.conformance.cluster import Cluster
from tests.e2e.cluster import POLONG, Node, any_kubectl, busybox, eventually, pod


@pytest.fixture(scope="module")
def leases(node: Node) -> Cluster:
    return Cluster(node.root / "kubeconfig", "kube-node-lease")


@pytest.mark.behaviour("node/lease")
def test_the_node_renews_its_lease_in_time(leases: Cluster) -> None:
    (node,) = leases.list("nodes", namespaced=False)
    plural = "coordination.k8s.io/v1/leases"
    (lease,) = leases.list(plural)
    assert lease["metadata"]["name"] == node["metadata"]["name"] == lease["spec"]["holderIdentity"]
    assert [(each["kind"], each["uid"]) for each in lease["metadata"]["ownerReferences"]] == [("Node", node["metadata"]["uid"])]
    duration = lease["spec"]["leaseDurationSeconds"]
    first = datetime.fromisoformat(lease["spec"]["renewTime"])
    renewed = eventually(
        lambda: (at := datetime.fromisoformat(leases.list(plural)[0]["spec"]["renewTime"])) > first and at, "renewed", timeout=duration
    )
    assert (renewed - first).total_seconds() < duration


@pytest.mark.slow
def test_a_log_that_grows_is_rotated_and_goes_on(cluster: Cluster, node: Node, tmp_path: Path) -> None:
    """Past 10 MiB: put aside, begun anew; `logs -f` tells every line, once."""
    line = "head -c 60000 /dev/zero | tr '\\0' x; echo; echo mark $i"
    cluster.run(pod("rotated", busybox("app", f"i=0; while [ $i -lt 400 ]; do {line}; i=$((i+1)); sleep 0.05; done; sleep 100")))
    directory = next(node.log_dir.glob(f"{cluster.namespace}_rotated_*")) / "app"
    told = tmp_path / "told"
    with told.open("wb") as output:
        follower = subprocess.Popen([POLONG, "logs", "-f", "-n", cluster.namespace, "rotated"], env=node.env, stdout=output)
        try:
            eventually(lambda: any(each.name.startswith("0.log.") for each in directory.iterdir()), "a log put aside", timeout=60)
            eventually(lambda: b"mark 399\n" in told.read_bytes()[-1000:], "the last line", timeout=90)
        finally:
            follower.terminate()
            follower.wait(20)
    marks = [int(each.split()[1]) for each in told.read_text().splitlines() if each.startswith("mark ")]
    assert marks == list(range(400))
    assert "mark 399" in cluster.logs("rotated", tailLines=1)
    assert (directory / "0.log").stat().st_size < 24 << 20


def test_kubectl_top_shows_what_containers_and_the_node_use(cluster: Cluster, node: Node) -> None:
    program = any_kubectl()
    assert program is not None
    kubectl = node.client(program)
    cluster.run(pod("busy", busybox("loop", "while :; do :; done"), busybox("idle", "sleep 1000"), shareProcessNamespace=True))
    try:
        rows = [line.split() for line in kubectl("top", "pods", "-n", cluster.namespace, "--containers", "--no-headers").splitlines()]
        used = {row[1]: int(row[2].removesuffix("m")) for row in rows if row[0] == "busy"}
        assert used["loop"] > 50
        assert used["idle"] < used["loop"] / 10
        assert all(row[3].endswith("Mi") for row in rows)
        (row,) = kubectl("top", "nodes", "--no-headers").splitlines()
        assert int(row.split()[1].removesuffix("m")) > 50
        assert "not found" in kubectl.try_("top", "pod", "-n", cluster.namespace, "nobody").stderr
    finally:
        cluster.delete("pods", "busy", grace=0)
