"""Lifecycle hooks and the end of containers: https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, entry, statuses
from tests.conformance.listener import Listener, listening
from tests.e2e.cluster import busybox, eventually, pod

Json = dict[str, Any]

FOREVER = "trap exit TERM; while :; do sleep 0.1; done"
STUBBORN = "trap '' TERM; while :; do sleep 0.1; done"


@dataclass
class Place:
    """Where the hooks of a test lead to."""

    listener: Listener
    address: str

    def get(self, path: str, scheme: str = "HTTP") -> Json:
        port = self.listener.tls_port if scheme == "HTTPS" else self.listener.port
        return {"httpGet": {"host": self.address, "port": port, "path": f"/{path}", "scheme": scheme}}

    def run(self, path: str) -> Json:
        return {"exec": {"command": ["wget", "-q", "-O", "/dev/null", f"http://{self.address}:{self.listener.port}/{path}"]}}

    def hear(self, path: str) -> None:
        eventually(lambda: f"/{path}" in self.listener.heard, f"/{path} was asked for")


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[Place]:
    (node,) = cluster.list("nodes", namespaced=False)
    address = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    with listening() as listener:
        yield Place(listener, address)


def hooked(name: str, script: str = FOREVER, **hooks: Any) -> Json:
    return {**busybox(name, script), "imagePullPolicy": "IfNotPresent", "lifecycle": hooks}


def gone_after(cluster: Cluster, name: str, grace: int) -> float:
    """Seconds from the deletion until the object has gone."""
    begun = time.monotonic()
    cluster.delete("pods", name, grace=grace)
    cluster.gone("pods", name)
    return time.monotonic() - begun


@pytest.mark.behaviour(
    "hooks/poststart-exec",
    "hooks/prestop-exec",
    "hooks/poststart-http",
    "hooks/prestop-http",
    "hooks/poststart-https",
    "hooks/prestop-https",
    "hooks/sidecar",
    "pods/prestop",
)
def test_every_kind_of_hook(cluster: Cluster, place: Place) -> None:
    made = {
        "exec": place.run,
        "http": place.get,
        "https": lambda path: place.get(path, "HTTPS"),
    }
    containers = [hooked(kind, postStart=make(f"start-{kind}"), preStop=make(f"stop-{kind}")) for kind, make in made.items()]
    cars = [
        {**hooked(f"car-{kind}", postStart=make(f"start-car-{kind}"), preStop=make(f"stop-car-{kind}")), "restartPolicy": "Always"}
        for kind, make in made.items()
    ]
    cluster.run(pod("hooks", *containers, initContainers=cars, terminationGracePeriodSeconds=30))
    for each in [*containers, *cars]:
        place.hear(f"start-{each['name']}")
    assert not any(each.startswith("/stop") for each in place.listener.heard)
    cluster.delete("pods", "hooks", grace=30)
    for each in [*containers, *cars]:
        place.hear(f"stop-{each['name']}")
    cluster.gone("pods", "hooks")
    assert place.listener.agents[place.listener.heard.index("/start-https")].startswith("kube-lifecycle/")
    assert not [each for each in cluster.events("hooks") if each["reason"].startswith("Failed")]


def test_https_falls_back_to_http(cluster: Cluster, place: Place) -> None:
    hook = place.get("fallback")
    hook["httpGet"]["scheme"] = "HTTPS"
    cluster.run(pod("fallback", hooked("c", postStart=hook)))
    assert "/fallback" in place.listener.heard
    assert "retry with HTTP succeeded" in cluster.event("fallback", "LifecycleHTTPFallback")["message"]


@pytest.mark.behaviour("hooks/sleep")
def test_sleep_is_honoured_cut_short_and_may_be_zero(cluster: Cluster) -> None:
    lengths = {"short": 3, "long": 100, "zero": 0}
    for name, seconds in lengths.items():
        cluster.create(
            "pods", pod(f"sleep-{name}", hooked("c", preStop={"sleep": {"seconds": seconds}}), terminationGracePeriodSeconds=200)
        )
    over = hooked("c", "sleep 3", preStop={"sleep": {"seconds": 100}})
    cluster.create("pods", pod("sleep-over", over, restartPolicy="Never", terminationGracePeriodSeconds=200))
    for name in lengths:
        cluster.ready(f"sleep-{name}")
    assert 2.5 < gone_after(cluster, "sleep-short", 30) < 20
    assert 2.5 < gone_after(cluster, "sleep-long", 3) < 15
    assert gone_after(cluster, "sleep-zero", 30) < 10
    assert gone_after(cluster, "sleep-over", 60) < 30, "a container that has ended needs no hook"


@pytest.mark.behaviour("ordering/poststart-blocks")
def test_the_second_container_waits_for_the_first_ones_post_start(cluster: Cluster) -> None:
    seen = cluster.run(pod("blocks", hooked("a", postStart={"sleep": {"seconds": 2}}), busybox("b", FOREVER)))
    first, second = (datetime.fromisoformat(statuses(seen)[name]["state"]["running"]["startedAt"]) for name in "ab")
    assert (second - first).total_seconds() >= 1, "times are whole seconds"


def test_a_failing_post_start_kills_its_container(cluster: Cluster) -> None:
    bad = {"exec": {"command": ["sh", "-c", "echo secret; exit 3"]}}
    cluster.create("pods", pod("bad-start", hooked("c", postStart=bad), restartPolicy="Never"))
    cluster.create("pods", pod("bad-start-again", hooked("c", postStart=bad)))
    cluster.phase("bad-start", "Failed", "Succeeded")
    assert cluster.event("bad-start", "FailedPostStartHook")["message"] == "PostStartHook failed"
    assert not any("secret" in each["message"] for each in cluster.events("bad-start"))
    cluster.until("bad-start-again", lambda obj: statuses(obj).get("c", {}).get("restartCount", 0) >= 1, "was started again")


def test_a_post_start_that_hangs_does_not_keep_the_pod(cluster: Cluster) -> None:
    cluster.create("pods", pod("hangs", hooked("c", postStart={"exec": {"command": ["sleep", "1000"]}}), busybox("never", FOREVER)))
    cluster.event("hangs", "Started")
    assert gone_after(cluster, "hangs", 2) < 20


@pytest.mark.behaviour("ordering/prestop", "ordering/grace")
def test_pre_stop_is_cut_at_the_end_of_the_grace(cluster: Cluster, place: Place) -> None:
    stop = place.run("cut-stop")["exec"]["command"]
    bad = {"exec": {"command": ["sh", "-c", f"{' '.join(stop)}; sleep 1000"]}}
    cluster.run(pod("cut", hooked("c", STUBBORN, preStop=bad), busybox("plain", STUBBORN), terminationGracePeriodSeconds=3))
    taken = gone_after(cluster, "cut", 3)
    place.hear("cut-stop")
    assert 2.5 < taken < 3 + 30
    assert place.listener.heard.count("/cut-stop") == 1


@pytest.mark.behaviour("ordering/prestop")
def test_pre_stop_runs_before_a_restart_by_liveness(cluster: Cluster, place: Place) -> None:
    dead = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    container = {**hooked("c", preStop=place.run("liveness-stop")), "livenessProbe": dead}
    cluster.create("pods", pod("ill", container, terminationGracePeriodSeconds=10))
    cluster.until("ill", lambda obj: statuses(obj).get("c", {}).get("restartCount", 0) >= 1, "was started again")
    assert "/liveness-stop" in place.listener.heard


@pytest.mark.behaviour("ordering/shortened-grace")
def test_a_shorter_grace_sends_exactly_one_more_signal(cluster: Cluster) -> None:
    script = "n=0; trap 'n=$((n+1)); echo term $n; [ $n -lt 2 ] || exit 0' TERM; while :; do sleep 0.1; done"
    cluster.run(pod("shorter", busybox("c", script), terminationGracePeriodSeconds=999))
    cluster.delete("pods", "shorter", grace=999)
    eventually(lambda: "term 1" in cluster.logs("shorter"), "the first signal came")
    time.sleep(1)
    assert "term 2" not in cluster.logs("shorter")
    begun = time.monotonic()
    cluster.delete("pods", "shorter", grace=99)
    cluster.gone("pods", "shorter")
    assert time.monotonic() - begun < 60, "it ended by its own exit"


def test_a_failing_pre_stop_is_told(cluster: Cluster) -> None:
    cluster.run(pod("bad-stop", hooked("c", preStop={"exec": {"command": ["false"]}})))
    cluster.delete("pods", "bad-stop", grace=5)
    assert cluster.event("bad-stop", "FailedPreStopHook")["message"] == "PreStopHook failed"
    cluster.gone("pods", "bad-stop")


@pytest.mark.behaviour("hooks/running-after")
def test_a_container_is_not_said_to_run_before_its_hook_has_ended(cluster: Cluster) -> None:
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "sleep 2; touch /tmp/done"]}}}
    cluster.create("pods", pod("hooked", busybox("c", "exec sleep 1000", lifecycle=hook), restartPolicy="Never"))
    told = cluster.until("hooked", lambda each: "running" in entry(each, "c")["state"], "runs")
    assert cluster.sh("hooked", "c", "ls /tmp/done") == "/tmp/done"
    assert told["status"]["phase"] == "Running"
