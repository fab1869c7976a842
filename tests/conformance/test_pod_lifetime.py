"""Deadlines, readiness gates, generations, and how Pods end when they are deleted early, late, or twice."""

from __future__ import annotations

import threading
import time
from typing import Any

import kubernetes.watch
import pytest
from tests.conformance.cluster import Cluster, Refused, condition, entry
from tests.e2e.cluster import busybox, eventually, pod

Json = dict[str, Any]

SLEEP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


def conditions(of: Json) -> dict[str, Json]:
    return {each["type"]: each for each in of["status"]["conditions"]}


@pytest.mark.behaviour("pods/active-deadline")
def test_a_deadline_ends_a_pod(cluster: Cluster) -> None:
    cluster.create("pods", pod("given", busybox("app", SLEEP), activeDeadlineSeconds=4))
    cluster.run(pod("updated", busybox("app", SLEEP)))
    cluster.patch("pods", "updated", {"spec": {"activeDeadlineSeconds": 1}})
    for name in ("given", "updated"):
        failed = cluster.phase(name, "Failed", timeout=30)
        assert failed["status"]["reason"] == "DeadlineExceeded"
        assert failed["status"]["message"] == "Pod was active on the node longer than the specified deadline"
        assert entry(failed, "app")["state"]["terminated"]["exitCode"] == 0
        assert condition(failed, "Ready") == "False"
        assert cluster.event(name, "DeadlineExceeded")["type"] == "Normal"
    assert not cluster.pod("given")["metadata"].get("deletionTimestamp")


@pytest.mark.behaviour("pods/readiness-gates")
def test_ready_follows_the_readiness_gates(cluster: Cluster) -> None:
    gates = ["example.test/one", "example.test/two"]
    cluster.create("pods", pod("gated", busybox("app", SLEEP), readinessGates=[{"conditionType": each} for each in gates]))
    waits = cluster.until("gated", lambda of: condition(of, "ContainersReady") == "True", "has ready containers")
    assert conditions(waits)["Ready"]["reason"] == "ReadinessGatesNotReady"

    def tell(kind: str, status: str) -> None:
        cluster.patch("pods", "gated", {"status": {"conditions": [{"type": kind, "status": status}]}}, "status")

    tell(gates[0], "True")
    tell(gates[1], "True")
    cluster.ready("gated")
    tell(gates[0], "False")
    cluster.until("gated", lambda of: condition(of, "Ready") == "False", "is not ready again")
    cluster.delete("pods", "gated", grace=1)


@pytest.mark.behaviour("pods/generation", "pods/condition-generation", "pods/generation-500", "pods/generation-delete")
def test_the_observed_generation_follows_the_spec(cluster: Cluster) -> None:
    made = cluster.create(
        "pods", {**(own := pod("generations", busybox("app", SLEEP))), "metadata": {**own["metadata"], "generation": 100}}
    )
    assert made["metadata"]["generation"] == 1
    cluster.ready("generations")
    for seconds in range(1_000_000, 1_000_000 - 499, -1):
        cluster.patch("pods", "generations", {"spec": {"activeDeadlineSeconds": seconds}}, kind="merge")
    seen = cluster.until(
        "generations",
        lambda of: (
            of["metadata"]["generation"] == of["status"]["observedGeneration"] == 500
            and all(each["observedGeneration"] == 500 for each in of["status"]["conditions"])
        ),
        "is observed 500 times",
    )
    assert {"PodScheduled", "Initialized", "Ready", "ContainersReady"} <= conditions(seen).keys()
    cluster.patch("pods", "generations", {"metadata": {"labels": {"a": "b"}}})
    assert cluster.pod("generations")["metadata"]["generation"] == 500
    going = cluster.delete("pods", "generations", grace=60)
    assert going["metadata"]["generation"] == 501
    cluster.gone("pods", "generations")


class History:
    """Every state of one Pod that a watch tells."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.events: list[tuple[str, Json]] = []
        self._watch = kubernetes.watch.Watch()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(cluster, name))
        self._thread.start()

    def _run(self, cluster: Cluster, name: str) -> None:
        api = kubernetes.client.CoreV1Api(cluster.api)
        query = {"field_selector": f"metadata.name={name}", "timeout_seconds": 60}
        for event in self._watch.stream(api.list_namespaced_pod, cluster.namespace, **query):
            self.events.append((event["type"], event["raw_object"]))
            if event["type"] == "DELETED":
                self._watch.stop()

    def end(self) -> list[tuple[str, Json]]:
        self._thread.join(70)
        return self.events


@pytest.mark.behaviour("pods/no-early-success")
def test_a_pod_that_is_deleted_while_it_starts_never_succeeds(cluster: Cluster) -> None:
    for turn in range(6):
        name = f"early-{turn}"
        history = History(cluster, name)
        inits = [busybox("step", "sleep 0.05", imagePullPolicy="IfNotPresent")] if turn % 2 else []
        cluster.create(
            "pods",
            pod(name, busybox("app", "true"), busybox("b", SLEEP.replace("exit 0", "exit 3")), initContainers=inits, restartPolicy="Never"),
        )
        threading.Event().wait(turn * 0.04)
        cluster.delete("pods", name)
        cluster.gone("pods", name)
        phases = [of["status"].get("phase") for _, of in history.end()]
        assert "Succeeded" not in phases
        assert not [each for each in cluster.events(name) if each["reason"] == "SandboxChanged"]


@pytest.mark.behaviour("ordering/shortened-grace", "pods/submitted-and-removed")
def test_a_shorter_second_delete_is_a_second_term_and_no_third(cluster: Cluster, tmp_path: Any) -> None:
    # Counts what it is asked, and goes when it was asked twice.
    script = (
        "n=0; trap 'n=$((n+1)); echo term $n >> /out/it' TERM; echo up >> /out/it; while test $n -lt 2; do sleep 0.1; done; sleep 1; exit 0"
    )
    container = busybox("app", script, volumeMounts=[{"name": "out", "mountPath": "/out"}])
    history = History(cluster, "twice")
    volume = {"name": "out", "hostPath": {"path": str(tmp_path), "type": "Directory"}}
    cluster.run(pod("twice", container, volumes=[volume], terminationGracePeriodSeconds=999))
    told = tmp_path / "it"
    eventually(lambda: told.exists(), "it has begun")
    cluster.delete("pods", "twice", grace=999)
    eventually(lambda: told.read_text().split("\n")[1:2] == ["term 1"], "it was asked once")
    cluster.delete("pods", "twice", grace=99)
    cluster.gone("pods", "twice", timeout=60)
    assert told.read_text().split("\n") == ["up", "term 1", "term 2", ""]
    kinds = [kind for kind, _ in history.end()]
    assert kinds[0] == "ADDED"
    assert kinds[-1] == "DELETED"
    last = history.events[-1][1]
    assert last["metadata"]["deletionTimestamp"]
    assert last["metadata"]["deletionGracePeriodSeconds"] in (0, 99)
    ended = next(of for _, of in reversed(history.events) if "terminated" in entry(of, "app")["state"])
    assert entry(ended, "app")["state"]["terminated"]["exitCode"] == 0
    with pytest.raises(Refused):
        cluster.pod("twice")


@pytest.mark.behaviour("pid-kubelet/killing")
def test_all_containers_are_asked_to_stop_at_once(cluster: Cluster) -> None:
    slow = "trap 'sleep 2; exit 0' TERM; while :; do sleep 0.1; done"
    cluster.run(pod("killed", *(busybox(each, slow) for each in "abcd"), terminationGracePeriodSeconds=30))
    begun = time.monotonic()
    cluster.delete("pods", "killed")
    cluster.gone("pods", "killed")
    assert time.monotonic() - begun < 7, "one after the other they would take eight seconds"

    def killing() -> list[str]:
        return sorted(each["message"] for each in cluster.events("killed") if each["reason"] == "Killing")

    eventually(lambda: killing() == [f"Stopping container {each}" for each in "abcd"], "each is told of", 20)
