"""Restart policies of Pods and containers, restart rules, and what a status says of ends and failed starts."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.cluster import Cluster, condition, entry
from tests.e2e.cluster import busybox, pod

Json = dict[str, Any]


@pytest.mark.slow
@pytest.mark.behaviour("exit/expected-status", "pid-kubelet/finished")
def test_fail_succeed_run_under_each_policy(cluster: Cluster) -> None:
    script = """
        f=/restart-count/restartCount
        count=$(echo "hello" >> $f; wc -l < $f)
        if [ $count -eq 1 ]; then exit 1; fi
        if [ $count -eq 2 ]; then exit 0; fi
        while true; do sleep 1; done"""
    for policy in ("Always", "OnFailure", "Never"):
        container = busybox("terminate", script, volumeMounts=[{"name": "count", "mountPath": "/restart-count"}])
        memory = [{"name": "count", "emptyDir": {"medium": "Memory"}}]
        cluster.create("pods", pod(policy.lower(), container, restartPolicy=policy, volumes=memory))
    never = cluster.phase("never", "Failed")
    assert entry(never, "terminate")["restartCount"] == 0
    assert entry(never, "terminate")["state"]["terminated"]["exitCode"] == 1
    assert condition(never, "Ready") == "False"
    failure = cluster.phase("onfailure", "Succeeded")
    assert entry(failure, "terminate")["restartCount"] == 1
    assert entry(failure, "terminate")["state"]["terminated"]["reason"] == "Completed"
    assert condition(failure, "Ready") == "False"
    always = cluster.until("always", lambda of: entry(of, "terminate")["restartCount"] == 2 and entry(of, "terminate")["ready"], "runs")
    assert always["status"]["phase"] == "Running"
    assert condition(always, "Ready") == "True"
    for policy in ("Always", "OnFailure", "Never"):
        cluster.delete("pods", policy.lower(), grace=1)
        cluster.gone("pods", policy.lower())


def rule(operator: str, *codes: int) -> Json:
    return {"action": "Restart", "exitCodes": {"operator": operator, "values": list(codes)}}


def once(name: str, code: int, **fields: Any) -> Json:
    """Ends once with `code`, then runs on."""
    mark = f"/marks/{name}"
    return busybox(name, f"test -e {mark} && exec sleep 1000; touch {mark}; exit {code}", **fields) | {
        "volumeMounts": [{"name": "marks", "mountPath": "/marks"}]
    }


@pytest.mark.behaviour("ordering/container-policy")
def test_a_containers_own_policy_and_rules_go_before_the_pods(cluster: Cluster) -> None:
    marks = [{"name": "marks", "emptyDir": {}}]
    containers = [
        once("always", 0, restartPolicy="Always"),
        once("failure", 1, restartPolicy="OnFailure"),
        once("fine", 0, restartPolicy="OnFailure"),
        once("ruled", 42, restartPolicy="Never", restartPolicyRules=[rule("In", 42)]),
        once("unruled", 41, restartPolicy="Never", restartPolicyRules=[rule("In", 42)]),
        once("other", 1, restartPolicy="Never", restartPolicyRules=[rule("NotIn", 42)]),
        once("plain", 1),
    ]
    cluster.create("pods", pod("rules", *containers, restartPolicy="Never", volumes=marks))
    seen = cluster.until(
        "rules", lambda of: all(entry(of, each)["restartCount"] == 1 for each in ("always", "failure", "ruled", "other")), "restarts"
    )
    for name, code in (("fine", 0), ("unruled", 41), ("plain", 1)):
        assert entry(seen, name)["state"]["terminated"]["exitCode"] == code
        assert entry(seen, name)["restartCount"] == 0
    assert seen["status"]["phase"] == "Running"
    # A Pod that restarts everything, but for one container.
    cluster.create("pods", pod("stays", once("never", 1, restartPolicy="Never"), once("app", 1), volumes=marks))
    stays = cluster.until("stays", lambda of: entry(of, "app")["restartCount"] == 1 and entry(of, "app")["ready"], "restarts")
    assert "terminated" in entry(stays, "never")["state"]
    # An init container of a Never Pod that is tried again.
    step = once("step", 1, restartPolicy="OnFailure")
    cluster.create(
        "pods",
        pod(
            "tries",
            busybox("app", "exit 0"),
            initContainers=[step | {"command": ["sh", "-c", step["command"][2].replace("exec sleep 1000", "exit 0")]}],
            restartPolicy="Never",
            volumes=marks,
        ),
    )
    assert entry(cluster.phase("tries", "Succeeded"), "step")["restartCount"] == 1
    for name in ("rules", "stays"):
        cluster.delete("pods", name, grace=1)


@pytest.mark.behaviour("exit/start-error")
def test_a_start_that_fails_is_told_as_such(cluster: Cluster) -> None:
    absent = {"name": "app", "image": "busybox:1.28", "command": ["/no/such/program"]}
    cluster.create("pods", pod("loops", absent))
    cluster.create("pods", pod("gives-up", absent, restartPolicy="Never"))
    failed = cluster.phase("gives-up", "Failed")
    ended = entry(failed, "app")["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert "/no/such/program" in ended["message"]
    loops = cluster.until("loops", lambda of: entry(of, "app")["lastState"].get("terminated"), "says how it failed")
    assert entry(loops, "app")["lastState"]["terminated"]["reason"] == "StartError"
    assert entry(loops, "app")["lastState"]["terminated"]["exitCode"] == 128
    assert entry(loops, "app")["state"]["waiting"]["reason"] in ("RunContainerError", "CrashLoopBackOff")
    assert loops["status"]["phase"] in ("Pending", "Running")


@pytest.mark.behaviour("pods/backoff-image-update")
def test_another_image_starts_with_no_back_off(cluster: Cluster) -> None:
    cluster.create("pods", pod("crashes", busybox("app", "exit 1")))
    crashing = cluster.until(
        "crashes", lambda of: entry(of, "app")["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff", "crashes"
    )
    count = entry(crashing, "app")["restartCount"]
    cluster.patch("pods", "crashes", {"spec": {"containers": [{"name": "app", "image": "nginx"}]}})
    # Its back-off would have held it for ten seconds.
    seen = cluster.until("crashes", lambda of: entry(of, "app")["restartCount"] > count, "starts the new image", 5)
    assert "nginx" in seen["spec"]["containers"][0]["image"]
    cluster.delete("pods", "crashes", grace=1)
    # A container that runs is restarted with the new image whatever its policy; it ends with 0 when it is asked to.
    polite = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
    for policy in ("OnFailure", "Never"):
        name = f"updated-{policy.lower()}"
        cluster.run(pod(name, busybox("app", polite), restartPolicy=policy))
        cluster.patch("pods", name, {"spec": {"containers": [{"name": "app", "image": "nginx"}]}})
        after = cluster.until(name, lambda of: entry(of, "app")["restartCount"] == 1 and entry(of, "app")["ready"], "runs the new image")
        assert entry(after, "app")["lastState"]["terminated"]["exitCode"] == 0
        cluster.delete("pods", name, grace=1)


@pytest.mark.slow
@pytest.mark.behaviour("pods/backoff-cap")
def test_the_back_off_grows_to_five_minutes(cluster: Cluster) -> None:
    """Ten seconds, doubled each time, need 310 s to get there; that it stays is the planner's, whose clock tests can move."""
    cluster.create("pods", pod("capped", busybox("app", "exit 1")))
    told: list[str] = []

    def capped(of: Json) -> bool:
        text = str(entry(of, "app")["state"].get("waiting", {}).get("message", "")).partition(" restarting")[0]
        if text.startswith("back-off") and text not in told:
            told.append(text)
        return told[-1:] == ["back-off 5m0s"]

    cluster.until("capped", capped, "waits five minutes", 420)
    assert told == [f"back-off {each}" for each in ("10s", "20s", "40s", "1m20s", "2m40s", "5m0s")]
    cluster.delete("pods", "capped", grace=1)
