"""Graceful node shutdown (KEP-2000, KEP-2712), by `polong down --shutdown` and by the signal that init systems send when power fails."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conformance.cluster import Cluster, condition
from tests.e2e.cluster import Node, busybox, eventually, pod

Json = dict[str, Any]

# Says when it is asked to end, and takes its time.
SLOW = "trap 'date +%s > /out/$NAME; sleep {}; exit 0' TERM; touch /out/$NAME.up; while :; do sleep 0.05; done"
MESSAGE = "Pod was terminated in response to imminent node shutdown."


@pytest.fixture
def base(tmp_path: Path) -> Path:
    if os.getuid() != 0:
        pytest.skip("needs root: containers are started for real")
    for name in ("home", "out", "manifests"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def node(base: Path) -> Iterator[Node]:
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "shutdownGracePeriod": "8s",
        "shutdownGracePeriodCriticalPods": "5s",
        "staticPodPath": "manifests",
    }
    (base / "kubelet.yaml").write_text(yaml.safe_dump(config))
    node = Node(base / "root", base / "home")
    try:
        node.polong("up", "--port", "0", "--config", str(base / "kubelet.yaml"), timeout=90)
        node.import_images()
        yield node
    finally:
        node.down()


def slow(base: Path, name: str, seconds: float, grace: int, **spec: Any) -> Json:
    volumes = [{"name": "out", "hostPath": {"path": str(base / "out")}}]
    mounts = [{"name": "out", "mountPath": "/out"}]
    container = busybox("c", SLOW.format(seconds), env=[{"name": "NAME", "value": name}], volumeMounts=mounts)
    return pod(name, container, volumes=volumes, **{"terminationGracePeriodSeconds": grace} | spec)


@pytest.mark.behaviour("shutdown/order", "shutdown/status", "shutdown/static")
def test_pods_end_by_priority_within_their_time_and_stay(base: Path, node: Node) -> None:
    cluster = Cluster(node.root / "kubeconfig", "default")
    try:
        (base / "manifests" / "fixed.yaml").write_text(yaml.safe_dump(slow(base, "fixed", 0, 5)))
        cluster.create("pods", slow(base, "polite", 1, 30))
        # More than its group's 3 seconds, whatever it asks for.
        cluster.create("pods", slow(base, "stubborn", 60, 30))
        cluster.create("pods", pod("done", busybox("c", "true"), restartPolicy="Never"))
        cluster.create("pods", slow(base, "critical", 0, 30, priorityClassName="system-node-critical"))
        for name in ("polite", "stubborn", "critical"):
            cluster.ready(name)
        cluster.phase("done", "Succeeded")
        fixed = f"fixed-{cluster.pod('polite')['spec']['nodeName']}"
        eventually(lambda: (base / "out" / "fixed.up").exists(), "the static Pod runs")
        for name in ("polite", "stubborn", "critical"):
            eventually(lambda name=name: (base / "out" / f"{name}.up").exists(), f"{name} has its trap")
        seen: dict[str, Any] = {}

        def watch() -> None:
            while "late" not in seen:
                (its,) = cluster.list("nodes", namespaced=False)
                ready = next(each for each in its["status"]["conditions"] if each["type"] == "Ready")
                if ready["status"] == "False":
                    seen["ready"] = ready
                    cluster.create("pods", slow(base, "late", 0, 5, nodeName=its["metadata"]["name"]))
                    seen["late"] = cluster.phase("late", "Failed", timeout=5)
                time.sleep(0.05)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        began = time.monotonic()
        said = node.polong("down", "--shutdown", timeout=90)
        took = time.monotonic() - began
        watcher.join(10)
        assert "its Pods have ended and stay as Failed" in said
        assert 3 < took < 20
        assert (seen["ready"]["reason"], seen["ready"]["message"]) == ("KubeletNotReady", "node is shutting down")
        late = seen["late"]["status"]
        assert (late["reason"], late["message"]) == ("NodeShutdown", "Pod was rejected as the node is shutting down.")
        times = {name: float((base / "out" / name).read_text()) for name in ("polite", "stubborn", "fixed", "critical")}
        # Side by side, and the critical one when the others have ended, or their time is over.
        assert abs(times["polite"] - times["stubborn"]) <= 1
        assert times["critical"] - times["stubborn"] >= 2
    finally:
        cluster.close()
    node.polong("up")
    cluster = Cluster(node.root / "kubeconfig", "default")
    try:
        for name, code in (("polite", 0), ("stubborn", 137), ("critical", 0)):
            status = cluster.pod(name)["status"]
            assert (status["phase"], status["reason"], status["message"]) == ("Failed", "Terminated", MESSAGE)
            target = next(each for each in status["conditions"] if each["type"] == "DisruptionTarget")
            assert (target["status"], target["reason"], target["message"]) == ("True", "TerminationByKubelet", MESSAGE)
            assert condition(cluster.pod(name), "Ready") == "False"
            (entry,) = status["containerStatuses"]
            assert entry["state"]["terminated"]["exitCode"] == code, name
        assert cluster.pod("done")["status"]["phase"] == "Succeeded"
        # What ended stays so; the node and what is its own begin anew.
        (its,) = cluster.list("nodes", namespaced=False)
        assert next(each for each in its["status"]["conditions"] if each["type"] == "Ready")["status"] == "True"
        assert cluster.ready(fixed)["status"]["phase"] == "Running"
        cluster.run(slow(base, "after", 0, 5))
        assert "Terminated" in node.polong("get", "pods")
    finally:
        cluster.close()


@pytest.mark.slow
@pytest.mark.behaviour("shutdown/signal")
def test_power_that_fails_is_a_shutdown_and_sigterm_is_none(base: Path, node: Node) -> None:
    cluster = Cluster(node.root / "kubeconfig", "default")
    try:
        cluster.run(slow(base, "stays", 0, 5))
        node.polong("down", "--keep-pods")
        node.polong("up")
        cluster.close()
        cluster = Cluster(node.root / "kubeconfig", "default")
        assert cluster.pod("stays")["status"]["phase"] == "Running"
        pid = int((node.root / "lock").read_text() or 0) if (node.root / "lock").exists() else 0
        assert pid, "the lock names the daemon"
        os.kill(pid, signal.SIGPWR)

        def stopped() -> bool:
            return not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]

        eventually(stopped, "the node stopped")
        node.polong("up")
        cluster.close()
        cluster = Cluster(node.root / "kubeconfig", "default")
        assert cluster.pod("stays")["status"]["reason"] == "Terminated"
    finally:
        cluster.close()


@pytest.mark.behaviour("shutdown/signal")
def test_flags_that_do_not_go_together(base: Path) -> None:
    node = Node(base / "root", base / "home")
    done = node.polong.try_("down", "--shutdown", "--keep-pods")
    assert done.returncode == 1
    assert "--shutdown goes with neither --keep-pods nor --grace-period" in done.stderr
