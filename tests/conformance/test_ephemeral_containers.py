"""Ephemeral containers: added to a Pod that exists, started whatever else it does, and never again; what they see of their target."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.cluster import Cluster, condition, entry
from tests.e2e.cluster import Client, Node, any_kubectl, busybox, eventually, pod

Json = dict[str, Any]

SLEEP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


def app(name: str = "app", script: str = SLEEP) -> Json:
    return busybox(name, script)


def debugger(name: str, script: str = "sleep 1000", **fields: Any) -> Json:
    return busybox(name, script, imagePullPolicy="IfNotPresent", terminationMessagePolicy="File", **fields)


def add(cluster: Cluster, name: str, *containers: Json) -> Json:
    return cluster.patch("pods", name, {"spec": {"ephemeralContainers": list(containers)}}, "ephemeralcontainers")


def runs(cluster: Cluster, pod_name: str, name: str) -> Json:
    return cluster.until(pod_name, lambda of: "running" in entry(of, name)["state"], f"runs {name}")


def ended(cluster: Cluster, pod_name: str, name: str) -> Json:
    seen = cluster.until(pod_name, lambda of: "terminated" in entry(of, name)["state"], f"has run {name}")
    found: Json = entry(seen, name)["state"]["terminated"]
    return found


@pytest.fixture(scope="module")
def kubectl(node: Node) -> Client:
    program = any_kubectl()
    if program is None:
        pytest.skip("kubectl is not installed")
    return node.client(program)


@pytest.mark.behaviour("ephemeral/start", "ephemeral/update", "ephemeral/no-restart")
def test_one_runs_in_a_pod_that_exists_and_is_no_part_of_its_health(cluster: Cluster) -> None:
    cluster.run(pod("exists", app()))
    add(cluster, "exists", debugger("look", "echo hello; cat", stdin=True, tty=True))
    seen = runs(cluster, "exists", "look")
    look = entry(seen, "look")
    assert (look["ready"], look["restartCount"], look["lastState"]) == (False, 0, {})
    assert "started" not in look
    assert condition(seen, "Ready") == "True"
    assert cluster.sh("exists", "look", "echo from $0") == "from sh"
    eventually(lambda: "hello" in cluster.logs("exists", "look"), "its log is read by its name")

    # A second one, by PUT of what GET gave.
    held = cluster.get("pods", "exists", "ephemeralcontainers")
    assert [each["name"] for each in held["spec"]["ephemeralContainers"]] == ["look"]
    held["spec"]["ephemeralContainers"].append(debugger("fails", "exit 7"))
    cluster.replace("pods", held, "ephemeralcontainers")
    assert ended(cluster, "exists", "fails")["exitCode"] == 7
    assert len(cluster.get("pods", "exists", "ephemeralcontainers")["spec"]["ephemeralContainers"]) == 2

    # Something else happens to the Pod: the one that has ended does not come back, the one that runs goes on.
    before = entry(cluster.pod("exists"), "look")["containerID"]
    cluster.sh("exists", "app", "kill -TERM 1")
    again = cluster.until("exists", lambda of: entry(of, "app")["restartCount"] == 1 and entry(of, "app")["ready"], "restarts app")
    assert entry(again, "fails")["state"]["terminated"]["exitCode"] == 7
    assert entry(again, "fails")["restartCount"] == 0
    assert entry(again, "look")["containerID"] == before
    assert condition(again, "Ready") == "True"
    assert again["status"]["phase"] == "Running"
    cluster.delete("pods", "exists", grace=1)
    cluster.gone("pods", "exists")


@pytest.mark.behaviour("pid-kubelet/ephemeral-first")
def test_they_start_while_init_containers_run_or_fail(cluster: Cluster) -> None:
    cluster.create("pods", pod("begins", app(), initContainers=[app("slow", "sleep 1000")]))
    cluster.create("pods", pod("fails", app(), initContainers=[app("bad", "exit 1")]))
    runs(cluster, "begins", "slow")
    cluster.until("fails", lambda of: entry(of, "bad")["restartCount"] >= 1, "fails")
    for name in ("begins", "fails"):
        add(cluster, name, debugger("look"))
    for name in ("begins", "fails"):
        seen = runs(cluster, name, "look")
        assert seen["status"]["phase"] == "Pending"
        assert entry(seen, "app")["state"]["waiting"]["reason"] == "PodInitializing"
        cluster.delete("pods", name, grace=1)


@pytest.mark.behaviour("pid-kubelet/target-resolved", "pid-stop/target-dies", "debug/target")
def test_a_target_is_joined_where_containers_are_isolated_and_changes_nothing_where_they_are_not(cluster: Cluster, kubectl: Client) -> None:
    target = app("app", f"echo $$$$ > /tmp/pid; {SLEEP}")
    cluster.create("pods", pod("isolated", target, app("other")))
    cluster.create("pods", pod("shared", target, app("other"), shareProcessNamespace=True))
    cluster.ready("isolated")
    cluster.ready("shared")
    for name in ("isolated", "shared"):
        words = ("debug", "-n", cluster.namespace, name, "--image=busybox:1.28", "--image-pull-policy=IfNotPresent", "--profile=general")
        told = kubectl.try_(*words, "--target=app", "-c", "aimed", "--", "sleep", "1000")
        assert told.returncode == 0, told.stderr
        assert 'Targeting container "app"' in told.stdout
        kubectl(*words, "-c", "free", "--", "sleep", "1000")
        runs(cluster, name, "aimed")
        runs(cluster, name, "free")

    def namespace(pod_name: str, container: str) -> str:
        return cluster.sh(pod_name, container, "readlink /proc/self/ns/pid")

    assert namespace("isolated", "aimed") == namespace("isolated", "app")
    assert len({namespace("isolated", each) for each in ("app", "other", "free")}) == 3
    assert len({namespace("shared", each) for each in ("app", "other", "aimed", "free")}) == 1
    seen = cluster.sh("isolated", "aimed", "tr '\\0' ' ' < /proc/1/cmdline")
    assert "trap" in seen, "PID 1 is the target's main process"
    assert "sleep 1000" in cluster.sh("isolated", "aimed", "ps")
    assert cluster.sh("shared", "aimed", "tr '\\0' ' ' < /proc/1/cmdline").startswith("/pause")
    assert cluster.sh("isolated", "aimed", "ls /proc/1/root/bin/busybox") == "/proc/1/root/bin/busybox", "SYS_PTRACE by the profile"

    # The target ends: its debugger goes with it in its own namespace, and stays in the Pod's.
    for name in ("isolated", "shared"):
        cluster.sh(name, "app", "kill -TERM $(cat /tmp/pid)")
        cluster.until(name, lambda of: entry(of, "app")["restartCount"] == 1 and entry(of, "app")["ready"], "restarts app")
    assert ended(cluster, "isolated", "aimed")["exitCode"] == 137
    assert "running" in entry(cluster.pod("shared"), "aimed")["state"]
    assert "running" in entry(cluster.pod("isolated"), "free")["state"]
    for name in ("isolated", "shared"):
        cluster.delete("pods", name, grace=1)


@pytest.mark.behaviour("pid-kubelet/target-missing")
def test_a_target_that_is_not_there_yet_is_waited_for(cluster: Cluster) -> None:
    step = app("step", "while ! test -e /gate/open; do sleep 0.05; done") | {"volumeMounts": [{"name": "gate", "mountPath": "/gate"}]}
    cluster.create("pods", pod("later", app(), initContainers=[step], volumes=[{"name": "gate", "emptyDir": {}}]))
    runs(cluster, "later", "step")
    add(cluster, "later", debugger("look", targetContainerName="app"))
    seen = cluster.until("later", lambda of: entry(of, "look")["state"]["waiting"].get("message"), "says why it waits")
    assert entry(seen, "look")["state"]["waiting"] == {
        "reason": "CreateContainerConfigError",
        "message": "unable to find target container app",
    }
    assert cluster.event("later", "Failed")["message"] == "Error: unable to find target container app"
    cluster.sh("later", "step", "touch /gate/open")
    runs(cluster, "later", "look")
    assert cluster.sh("later", "look", "readlink /proc/self/ns/pid") == cluster.sh("later", "app", "readlink /proc/self/ns/pid")
    cluster.delete("pods", "later", grace=1)
