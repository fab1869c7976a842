"""TERM to PID 1 of a shared Pod ends /pause, and with it every process of the Pod; and what a restart of the daemon does not do."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.conformance.cluster import Cluster, condition, entry
from tests.e2e.cluster import Node, busybox, pod

Json = dict[str, Any]

STORY = [{"name": "story", "mountPath": "/story"}]


def shell(name: str, script: str, **fields: Any) -> Json:
    return busybox(name, f"echo {name} >> /story/it; {script}", volumeMounts=STORY, imagePullPolicy="IfNotPresent", **fields)


def shared(name: str, *containers: Json, **spec: Any) -> Json:
    return pod(name, *containers, shareProcessNamespace=True, volumes=[{"name": "story", "emptyDir": {}}], **spec)


@pytest.mark.behaviour("pid-kubelet/sandbox-changed", "pid-pause/term-kills-pod", "ordering/new-sandbox")
def test_a_lost_sandbox_is_made_again_and_init_containers_run_again(cluster: Cluster) -> None:
    sees = "tr '\\0' ' ' < /proc/1/cmdline > /story/step; sleep 0.2"
    inits = [shell("step", sees), shell("car", "exec sleep 1000", restartPolicy="Always")]
    before = cluster.run(shared("always", shell("a", "exec sleep 1000"), shell("b", "exec sleep 1000"), initContainers=inits))
    assert cluster.sh("always", "a", "cat /story/it").split()[:2] == ["step", "car"]
    assert cluster.sh("always", "a", "cat /story/step").startswith("/pause"), "init containers are in the Pod's namespace"
    assert cluster.sh("always", "a", "readlink /proc/self/ns/pid") == cluster.sh("always", "car", "readlink /proc/self/ns/pid")
    cluster.exec("always", "a", "kill", "-TERM", "1")
    again = cluster.until(
        "always",
        lambda of: condition(of, "Ready") == "True" and all(entry(of, each)["restartCount"] == 1 for each in ("step", "car", "a", "b")),
        "runs again",
    )
    assert cluster.event("always", "SandboxChanged")["message"] == "Pod sandbox changed, it will be killed and re-created."
    for name in ("car", "a", "b"):
        assert entry(again, name)["lastState"]["terminated"]["exitCode"] == 137
    assert entry(again, "step")["state"]["terminated"]["exitCode"] == 0
    assert entry(again, "step")["lastState"]["terminated"]["exitCode"] == 0
    assert again["metadata"]["uid"] == before["metadata"]["uid"]
    told = cluster.sh("always", "a", "cat /story/it").split()
    assert told[4:6] == ["step", "car"]
    assert sorted(told[6:]) == ["a", "b"]
    assert cluster.sh("always", "a", "tr '\\0' ' ' < /proc/1/cmdline").startswith("/pause")


@pytest.mark.behaviour("pid-kubelet/sandbox-changed", "pid-kubelet/finished")
def test_a_never_pod_fails_with_its_sandbox(cluster: Cluster) -> None:
    cluster.run(shared("never", shell("a", "exec sleep 1000"), restartPolicy="Never"))
    cluster.exec("never", "a", "kill", "-TERM", "1")
    failed = cluster.phase("never", "Failed")
    assert entry(failed, "a")["restartCount"] == 0
    assert entry(failed, "a")["state"]["terminated"]["exitCode"] == 137
    assert condition(failed, "PodReadyToStartContainers") == "False"
    assert not [each for each in cluster.events("never") if each["reason"] == "SandboxChanged"]


@pytest.mark.behaviour("ordering/new-sandbox", "pid-kubelet/daemon-restart")
def test_a_restart_of_the_daemon_runs_nothing_again(cluster: Cluster, node: Node) -> None:
    inits = [shell("step", ":"), shell("car", "exec sleep 1000", restartPolicy="Always")]
    before = cluster.run(shared("lives-on", shell("a", "exec sleep 1000"), initContainers=inits))
    cluster.patch(
        "pods",
        "lives-on",
        {"spec": {"ephemeralContainers": [busybox("once", "exit 3", imagePullPolicy="IfNotPresent", terminationMessagePolicy="File")]}},
        "ephemeralcontainers",
    )
    before = cluster.until("lives-on", lambda of: "terminated" in entry(of, "once")["state"], "has run once")
    namespace = cluster.sh("lives-on", "a", "readlink /proc/1/ns/pid")
    port = urlsplit(cluster.api.configuration.host).port
    node.polong("down", "--keep-pods", timeout=60)
    node.polong("up", "--port", str(port), timeout=90)
    after = cluster.ready("lives-on")
    for name in ("step", "car", "a", "once"):
        assert entry(after, name)["containerID"] == entry(before, name)["containerID"]
        assert entry(after, name)["restartCount"] == 0
    assert cluster.sh("lives-on", "a", "readlink /proc/1/ns/pid") == namespace
    cluster.sh("lives-on", "a", "(sleep 0.1 &); sleep 0.5")
    assert " Z " not in cluster.sh("lives-on", "a", "cat /proc/[0-9]*/stat"), "/pause still reaps"
    assert cluster.sh("lives-on", "a", "cat /story/it").split() == ["step", "car", "a"]
