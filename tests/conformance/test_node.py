"""The node's own objects, and what it does to logs."""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from tests.conformance.cluster import Cluster, Refused
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


@pytest.mark.behaviour("node/lease-api")
def test_leases_of_others(cluster: Cluster) -> None:
    plural = "coordination.k8s.io/v1/leases"
    spec = {
        "holderIdentity": "holder",
        "leaseDurationSeconds": 30,
        "acquireTime": "2026-01-02T03:04:05.123456Z",
        "renewTime": "2026-01-02T03:04:06.000001Z",
        "leaseTransitions": 0,
    }
    made = cluster.create(plural, {"metadata": {"name": "lease", "labels": {"own": "yes"}}, "spec": spec})
    assert made["spec"] == spec
    assert cluster.get(plural, "lease")["spec"] == spec
    changed = {"holderIdentity": "other", "leaseDurationSeconds": 42, "renewTime": "2026-01-02T03:05:00.654321Z", "leaseTransitions": 1}
    made["spec"] = {**spec, **changed}
    assert cluster.replace(plural, made)["spec"] == made["spec"]
    patched = cluster.patch(plural, "lease", {"spec": {"leaseDurationSeconds": 60}}, kind="merge")
    assert patched["spec"]["leaseDurationSeconds"] == 60
    assert patched["spec"]["renewTime"] == changed["renewTime"]
    cluster.create(plural, {"metadata": {"name": "second", "labels": {"own": "yes"}}, "spec": {"holderIdentity": "x"}})
    assert {each["metadata"]["name"] for each in cluster.list(plural, labelSelector="own=yes")} == {"lease", "second"}
    cluster.request("DELETE", cluster.path(plural), labelSelector="own=yes")
    assert cluster.list(plural, labelSelector="own=yes") == []
    for wrong, field in (({"leaseDurationSeconds": 0}, "spec.leaseDurationSeconds"), ({"leaseTransitions": -1}, "spec.leaseTransitions")):
        with pytest.raises(Refused) as refused:
            cluster.create(plural, {"metadata": {"name": "bad"}, "spec": wrong})
        assert [each["field"] for each in refused.value.causes] == [field]


def test_the_user_may_allow_unsafe_sysctls(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    config = tmp_path / "kubelet.yaml"
    config.write_text('apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nallowedUnsafeSysctls: ["kernel.msg*"]\n')
    node = Node(tmp_path / "root", tmp_path / "home")
    try:
        node.up("--config", str(config))
        node.import_images()
        context = {"sysctls": [{"name": "kernel.msgmax", "value": "10000"}]}
        node.polong.apply(pod("allowed", busybox("c", "exec sleep 1000"), securityContext=context))
        node.polong.ready("allowed")
        assert node.polong("exec", "allowed", "--", "cat", "/proc/sys/kernel/msgmax").strip() == "10000"
        node.down()
        config.write_text(config.read_text().replace("kernel.msg*", "vm.*"))
        refused = node.polong.try_("up", "--port", "0", "--config", str(config), timeout=90)
        assert "allowedUnsafeSysctls: 'vm.*' is not known to be namespaced" in refused.stderr
    finally:
        node.down()


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


def test_a_node_short_of_memory_evicts_and_refuses(tmp_path: Path) -> None:
    """A node of its own, which is told to keep all memory free."""
    (tmp_path / "home").mkdir()
    config = tmp_path / "kubelet.yaml"
    config.write_text("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nevictionHard: {memory.available: 100%}\n")
    node = Node(tmp_path / "root", tmp_path / "home")
    try:
        node.polong("up", "--port", "0", "--config", str(config), timeout=90)
        node.import_images()
        node.polong.apply(pod("victim", busybox("app", "exec sleep 1000")))
        node.polong("wait", "--for=jsonpath={.status.phase}=Failed", "pod/victim", "--timeout=60s")
        status = node.polong.json("get", "pod", "victim")["status"]
        assert status["reason"] == "Evicted"
        assert "The node was low on resource: memory." in status["message"]
        eventually(lambda: "MemoryPressure   True" in node.polong("describe", "node"), "MemoryPressure")
        node.polong.apply(pod("late", busybox("app", "exec sleep 1000")))
        taint = "node.kubernetes.io/memory-pressure"
        eventually(lambda: taint in node.polong("describe", "pod", "late"), "a Pod that comes now is not placed")
        assert node.polong.json("get", "pod", "late")["status"]["phase"] == "Pending"
    finally:
        node.down()


def test_a_configuration_that_is_wrong_is_refused_before_anything_starts(tmp_path: Path) -> None:
    config = tmp_path / "kubelet.yaml"
    config.write_text("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ntopologyManagerPolicy: none\n")
    node = Node(tmp_path / "root", tmp_path)
    done = node.polong.try_("up", "--port", "0", "--config", str(config), timeout=90)
    assert done.returncode == 1
    assert "topologyManagerPolicy: Polong has no such setting" in done.stderr
    assert node.polong.try_("status").returncode != 0
    missing = node.polong.try_("up", "--config", str(tmp_path / "none"))
    assert "there is no such file" in missing.stderr
