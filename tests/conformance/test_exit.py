"""How containers end, what they leave as their message, and images that cannot be had."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.cluster import Cluster, condition, statuses
from tests.e2e.cluster import busybox, pod

Json = dict[str, Any]


def _ended(cluster: Cluster, name: str, container: str = "app") -> Json:
    found = cluster.until(name, lambda each: "terminated" in statuses(each).get(container, {}).get("state", {}), f"{container} has ended")
    state: Json = statuses(found)[container]["state"]["terminated"]
    return state


def _once(name: str, script: str, **fields: Any) -> Json:
    return pod(name, busybox("app", script, **fields), restartPolicy="Never")


# Fails the first time, succeeds the second, then runs on: counted by lines in a volume that outlives restarts.
_COUNTED = "echo >> /data/count; n=$(wc -l < /data/count); [ $n -eq 1 ] && exit 1; [ $n -eq 2 ] && exit 0; exec sleep 1000"


@pytest.mark.behaviour("exit/expected-status")
def test_status_by_restart_policy(cluster: Cluster) -> None:
    for policy in ("Always", "OnFailure", "Never"):
        mount = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
        volumes = [{"name": "data", "emptyDir": {"medium": "Memory"}}]
        cluster.create("pods", pod(f"ends-{policy.lower()}", busybox("app", _COUNTED, **mount), volumes=volumes, restartPolicy=policy))
    always = cluster.until(
        "ends-always", lambda found: statuses(found).get("app", {}).get("restartCount") == 2, "restarted twice", timeout=90
    )
    always = cluster.ready("ends-always", timeout=60)
    assert always["status"]["phase"] == "Running"
    assert "running" in statuses(always)["app"]["state"]
    failing = cluster.phase("ends-onfailure", "Succeeded", timeout=60)
    assert statuses(failing)["app"]["restartCount"] == 1
    never = cluster.phase("ends-never", "Failed")
    assert statuses(never)["app"]["restartCount"] == 0
    for found in (failing, never):
        assert condition(found, "Ready") == "False"
        assert "terminated" in statuses(found)["app"]["state"]
    for policy in ("always", "onfailure", "never"):
        cluster.delete("pods", f"ends-{policy}", grace=0)
        cluster.gone("pods", f"ends-{policy}")


@pytest.mark.behaviour(
    "exit/message-nonroot", "exit/message-fallback", "exit/message-fallback-success", "exit/message-file-wins", "exit/message-root"
)
def test_termination_messages(cluster: Cluster) -> None:
    nonroot = {"terminationMessagePath": "/dev/termination-custom-log", "securityContext": {"runAsUser": 10000}}
    fallback = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    cases = {
        "root": ("echo -n DONE > /dev/termination-log", {}, "DONE"),
        "nonroot": ("echo -n DONE > /dev/termination-custom-log", nonroot, "DONE"),
        "fallback": ("echo -n DONE; exit 1", fallback, "DONE"),
        "success": ("echo DONE", fallback, ""),
        "file": ("echo -n OK > /dev/termination-log; echo DONE; exit 0", fallback, "OK"),
        "file-error": ("echo -n OK > /dev/termination-log; echo DONE; exit 1", fallback, "OK"),
        "no-fallback": ("echo DONE; exit 1", {}, ""),
    }
    for name, (script, fields, _) in cases.items():
        cluster.create("pods", _once(f"message-{name}", script, **fields))
    for name, (_, _, expected) in cases.items():
        assert _ended(cluster, f"message-{name}").get("message", "").rstrip("\n") == expected, name


@pytest.mark.behaviour("exit/message-fallback")
def test_a_message_is_bounded(cluster: Cluster) -> None:
    cluster.create("pods", _once("bounded-file", "head -c 10000 /dev/zero | tr '\\0' x > /dev/termination-log"))
    script = "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done; exit 1"
    cluster.create("pods", _once("bounded-log", script, terminationMessagePolicy="FallbackToLogsOnError"))
    assert len(_ended(cluster, "bounded-file")["message"]) == 4096
    told = _ended(cluster, "bounded-log")["message"]
    assert len(told) <= 2048
    assert told.rstrip("\n").splitlines()[-1] == "line 199"
    assert len(told.rstrip("\n").splitlines()) <= 80


@pytest.mark.behaviour("exit/image-pull")
def test_images_that_are_there_and_that_are_not(cluster: Cluster) -> None:
    cluster.create("pods", pod("no-image", {"name": "app", "image": "127.0.0.1:9/none:1", "imagePullPolicy": "IfNotPresent"}))
    cluster.create("pods", pod("image", busybox("app", "exec sleep 1000")))
    cluster.ready("image")

    def reason(found: Json) -> str:
        waiting: Json = statuses(found).get("app", {}).get("state", {}).get("waiting", {})
        return str(waiting.get("reason", ""))

    seen = set()
    cluster.until("no-image", lambda found: seen.add(reason(found)) or "ImagePullBackOff" in seen, "waits for its image", timeout=60)
    assert seen <= {"", "ContainerCreating", "ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"}
    assert cluster.pod("no-image")["status"]["phase"] == "Pending"


@pytest.mark.behaviour("kubelet/logs", "kubelet/terminated-reason", "kubelet/crashing-deletable", "kubelet/readonly")
def test_what_a_kubelet_does_with_simple_containers(cluster: Cluster) -> None:
    cluster.create("pods", _once("prints", "echo hello there"))
    cluster.create("pods", pod("crashes", {"name": "app", "image": "busybox:1.28", "command": ["/bin/false"]}))
    cluster.create("pods", _once("readonly", "echo x > /file; sleep 0.1", securityContext={"readOnlyRootFilesystem": True}))
    assert _ended(cluster, "prints")["reason"] == "Completed"
    assert cluster.logs("prints") == "hello there\n"
    crashed = cluster.until(
        "crashes",
        lambda found: any("terminated" in statuses(found).get("app", {}).get(part, {}) for part in ("state", "lastState")),
        "has failed",
    )
    told = statuses(crashed)["app"]
    assert {told[part]["terminated"]["reason"] for part in ("state", "lastState") if "terminated" in told[part]} == {"Error"}
    cluster.delete("pods", "crashes", grace=0)
    cluster.gone("pods", "crashes")
    _ended(cluster, "readonly")
    assert "Read-only file system" in cluster.logs("readonly")
