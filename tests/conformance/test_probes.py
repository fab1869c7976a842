"""Probes: https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/. All Pods run side by side; each test
waits for what it is about."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from tests.conformance.cluster import Cluster, condition, statuses
from tests.conformance.listener import Listener, grpc_health, listening
from tests.e2e.cluster import busybox, eventually, pod

Json = dict[str, Any]

FOREVER = "sleep 1000"
STUBBORN = "trap '' TERM; while :; do sleep 1; done"
# Answers /cgi-bin/<name> by the script of that name.
HTTPD = "mkdir -p /www/cgi-bin; cd /www/cgi-bin; {scripts}chmod +x *; exec httpd -f -p 8080 -h /www"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("0.0.0.0", 0))
        return int(found.getsockname()[1])


def execute(*command: str, **fields: Any) -> Json:
    return {"exec": {"command": list(command)}, "periodSeconds": 1, "failureThreshold": 1, **fields}


def http(path: str, port: int | str = 8080, **fields: Any) -> Json:
    return {"httpGet": {"path": path, "port": port}, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 5, **fields}


def httpd(**scripts: str) -> str:
    """Lines of a script are parted by `|`."""
    lines = ""
    for name, text in scripts.items():
        words = " ".join(repr(line) for line in text.split("|"))
        lines += f"printf '%s\\n' '#!/bin/sh' {words} > {name}; "
    return HTTPD.format(scripts=lines)


def liveness_pods() -> Iterator[Json]:
    yield pod("exec", busybox("c", f"touch /tmp/health; sleep 3; rm /tmp/health; {FOREVER}", livenessProbe=execute("cat", "/tmp/health")))
    yield pod("exec-good", busybox("c", f"touch /tmp/health; {FOREVER}", livenessProbe=execute("cat", "/tmp/health")))
    turning = httpd(healthz='if [ -e /tmp/ill ]; then echo "Status: 500 Ill"; fi|echo|echo said')
    yield pod("http", busybox("c", f"(sleep 4; touch /tmp/ill) & {turning}", livenessProbe=http("/cgi-bin/healthz", initialDelaySeconds=1)))
    yield pod(
        "http-good",
        busybox("c", httpd(healthz="echo|echo fine"), ports=[{"name": "web", "containerPort": 8080}]),
    )
    yield pod("timeout", busybox("c", FOREVER, livenessProbe=execute("sleep", "10", timeoutSeconds=1)))
    left = ("sh", "-c", "sleep 777 & echo bad; exit 1")
    yield pod("background", busybox("c", FOREVER, readinessProbe=execute(*left)), shareProcessNamespace=True)
    yield pod(
        "grace-liveness",
        busybox("c", STUBBORN, livenessProbe=execute("false", terminationGracePeriodSeconds=2)),
        terminationGracePeriodSeconds=500,
    )
    yield pod(
        "grace-startup",
        busybox("c", STUBBORN, startupProbe=execute("false", terminationGracePeriodSeconds=2)),
        terminationGracePeriodSeconds=500,
    )


def readiness_pods() -> Iterator[Json]:
    yield pod("delay", busybox("c", FOREVER, readinessProbe=execute("true", initialDelaySeconds=4, periodSeconds=1)))
    yield pod("unready", busybox("c", FOREVER, readinessProbe=execute("sh", "-c", "echo no; false")))
    yield pod("unready-timeout", busybox("c", FOREVER, readinessProbe=execute("sleep", "10", timeoutSeconds=1)))
    redirects = httpd(
        local='echo "Status: 302 Found"|echo "Location: /cgi-bin/fine"|echo',
        foreign='echo "Status: 302 Found"|echo "Location: http://192.0.2.1/"|echo|echo away',
        ill='echo "Status: 302 Found"|echo "Location: /cgi-bin/absent"|echo',
        fine="echo|echo fine",
    )
    yield pod(
        "redirect",
        busybox("local", redirects, readinessProbe=http("/cgi-bin/local", failureThreshold=30)),
    )
    yield pod("redirect-foreign", busybox("foreign", redirects, readinessProbe=http("/cgi-bin/foreign", failureThreshold=30)))
    yield pod("redirect-ill", busybox("ill", redirects, readinessProbe=http("/cgi-bin/ill", initialDelaySeconds=1)))


def startup_pods() -> Iterator[Json]:
    waits = execute("cat", "/tmp/started", failureThreshold=600)
    yield pod("startup-fails", busybox("c", FOREVER, startupProbe=execute("false")))
    yield pod("startup-delays", busybox("c", FOREVER, startupProbe=waits, livenessProbe=execute("false")))
    yield pod("startup-ready", busybox("c", FOREVER, startupProbe=waits, readinessProbe=execute("true", periodSeconds=60)))


def sidecar_pods() -> Iterator[Json]:
    def car(script: str, **fields: Any) -> Json:
        return {**busybox("car", script, **fields), "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always"}

    main = busybox("main", FOREVER)
    yield pod("car-liveness", main, initContainers=[car(STUBBORN, livenessProbe=execute("false", terminationGracePeriodSeconds=1))])
    yield pod("car-unready", main, initContainers=[car(FOREVER, readinessProbe=execute("cat", "/tmp/ready"))])
    waits = execute("cat", "/tmp/started", failureThreshold=600)
    yield pod("car-startup", main, initContainers=[car(FOREVER, startupProbe=waits)])


def host_pods(port: int, listener: Listener, address: str) -> Iterator[Json]:
    """On the host's network, where servers of the test stand in for those of an image."""

    def grpc(number: int, **fields: Any) -> Json:
        return {"grpc": {"port": number, **fields}, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 5}

    yield pod(
        "grpc",
        busybox("good", FOREVER, livenessProbe=grpc(port), readinessProbe=grpc(port, service="any")),
        busybox("ill", FOREVER, readinessProbe=grpc(port, service="ill")),
        busybox("wrong", FOREVER, livenessProbe=grpc(free_port())),
        hostNetwork=True,
    )
    secure = {"httpGet": {"path": "/probe", "port": listener.tls_port, "scheme": "HTTPS", "host": address}}
    yield pod("https", busybox("c", FOREVER, readinessProbe={**secure, "timeoutSeconds": 5, "periodSeconds": 1}))


@pytest.fixture(scope="module")
def probed(cluster: Cluster) -> Iterator[Listener]:
    """All of them, created at once."""
    (node,) = cluster.list("nodes", namespaced=False)
    address = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    port = free_port()
    with listening() as listener, grpc_health(port):
        groups = (liveness_pods(), readiness_pods(), startup_pods(), sidecar_pods(), host_pods(port, listener, address))
        for obj in (each for group in groups for each in group):
            if obj["metadata"]["name"] == "http-good":
                obj["spec"]["containers"][0]["livenessProbe"] = http("/cgi-bin/healthz?x=1", "web", initialDelaySeconds=2)
                tcp = {"tcpSocket": {"port": 8080}, "initialDelaySeconds": 2, "periodSeconds": 1, "failureThreshold": 1}
                obj["spec"]["containers"].append({**busybox("tcp", FOREVER, livenessProbe=tcp), "imagePullPolicy": "IfNotPresent"})
            cluster.create("pods", obj)
        yield listener


def restarts(obj: Json, name: str = "c", kind: str = "containerStatuses") -> int:
    return int(statuses(obj, kind).get(name, {}).get("restartCount", 0))


def restarted(cluster: Cluster, name: str, container: str = "c", kind: str = "containerStatuses", timeout: float = 60) -> Json:
    return cluster.until(name, lambda obj: restarts(obj, container, kind) >= 1, f"restarted {container}", timeout)


def told(cluster: Cluster, name: str, reason: str) -> set[str]:
    return {each["message"] for each in cluster.events(name) if each["reason"] == reason}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.behaviour("probes/liveness-exec")
def test_a_failing_command_restarts(cluster: Cluster, probed: Listener) -> None:
    restarted(cluster, "exec")
    assert any("cat" in each for each in told(cluster, "exec", "Unhealthy"))
    killing = cluster.event("exec", "Killing")
    assert killing["message"] == "Container c failed liveness probe, will be restarted"
    assert killing["involvedObject"]["fieldPath"] == "spec.containers{c}"


@pytest.mark.behaviour("probes/liveness-http")
def test_an_http_answer_of_500_restarts(cluster: Cluster, probed: Listener) -> None:
    restarted(cluster, "http")
    assert "Liveness probe failed: HTTP probe failed with statuscode: 500" in told(cluster, "http", "Unhealthy")


@pytest.mark.behaviour("probes/exec-timeout")
def test_a_command_over_its_time_restarts(cluster: Cluster, probed: Listener) -> None:
    restarted(cluster, "timeout")
    assert 'Liveness probe failed: command timed out: "sleep 10" timed out after 1s' in told(cluster, "timeout", "Unhealthy")


@pytest.mark.behaviour("probes/probe-grace-liveness", "probes/probe-grace-startup")
@pytest.mark.parametrize("kind", ["liveness", "startup"])
def test_the_probes_own_grace_beats_the_pods(cluster: Cluster, probed: Listener, kind: str) -> None:
    seen = restarted(cluster, f"grace-{kind}")
    last = statuses(seen)["c"]["lastState"]["terminated"]
    assert last["exitCode"] == 137
    assert (moment(last["finishedAt"]) - moment(last["startedAt"])).total_seconds() < 40
    assert f"Container c failed {kind} probe, will be restarted" in told(cluster, f"grace-{kind}", "Killing")


@pytest.mark.behaviour("probes/readiness-delay")
def test_readiness_waits_for_its_delay(cluster: Cluster, probed: Listener) -> None:
    seen = cluster.ready("delay")
    ready = next(each for each in seen["status"]["conditions"] if each["type"] == "Ready")
    started = statuses(seen)["c"]["state"]["running"]["startedAt"]
    assert (moment(ready["lastTransitionTime"]) - moment(started)).total_seconds() >= 4
    assert restarts(seen) == 0


@pytest.mark.behaviour("probes/readiness-fails", "probes/readiness-exec-timeout")
def test_what_is_not_ready_is_not_restarted(cluster: Cluster, probed: Listener) -> None:
    for name, words in (
        ("unready", "Readiness probe failed: no\n"),
        ("unready-timeout", 'Readiness probe failed: command timed out: "sleep 10" timed out after 1s'),
    ):
        cluster.event(name, "Unhealthy")
        seen = cluster.phase(name, "Running")
        assert condition(seen, "Ready") == "False"
        assert condition(seen, "ContainersReady") == "False"
        assert statuses(seen)["c"]["started"] is True
        assert restarts(seen) == 0
        assert words in told(cluster, name, "Unhealthy")


@pytest.mark.behaviour("probes/exec-background")
def test_a_child_that_a_probe_leaves_is_not_waited_for(cluster: Cluster, probed: Listener) -> None:
    cluster.event("background", "Unhealthy")
    assert "Readiness probe failed: bad\n" in told(cluster, "background", "Unhealthy")
    assert "sleep 777" in cluster.sh("background", "c", "ps ax")


@pytest.mark.behaviour("probes/redirect-local", "probes/redirect-foreign")
def test_redirects(cluster: Cluster, probed: Listener) -> None:
    cluster.ready("redirect")
    cluster.ready("redirect-foreign")
    assert cluster.event("redirect-foreign", "ProbeWarning")["type"] == "Warning"
    assert "Readiness probe warning: Probe terminated redirects, Response body: away\n" in told(cluster, "redirect-foreign", "ProbeWarning")
    assert not told(cluster, "redirect", "ProbeWarning")
    failed = "Readiness probe failed: HTTP probe failed with statuscode: 404"
    eventually(lambda: failed in told(cluster, "redirect-ill", "Unhealthy"), "the redirect was followed to its end")
    assert condition(cluster.pod("redirect-ill"), "Ready") == "False"


@pytest.mark.behaviour("probes/startup-fails", "probes/startup-delays", "probes/ready-after-startup")
def test_startup_probes(cluster: Cluster, probed: Listener) -> None:
    restarted(cluster, "startup-fails")
    for name in ("startup-delays", "startup-ready"):
        cluster.event(name, "Unhealthy")
        seen = cluster.phase(name, "Running")
        assert statuses(seen)["c"]["started"] is False
        assert restarts(seen) == 0
        assert not any("Liveness" in each for each in told(cluster, name, "Unhealthy"))
    cluster.sh("startup-delays", "c", "touch /tmp/started")
    restarted(cluster, "startup-delays")
    cluster.sh("startup-ready", "c", "touch /tmp/started")
    begun = time.monotonic()
    cluster.ready("startup-ready", timeout=25)
    assert time.monotonic() - begun < 25


@pytest.mark.behaviour("probes/liveness-grpc", "probes/liveness-grpc-good")
def test_grpc(cluster: Cluster, probed: Listener) -> None:
    seen = cluster.until("grpc", lambda obj: restarts(obj, "wrong") >= 1 and statuses(obj)["good"]["ready"], "restarted the wrong one")
    assert restarts(seen, "good") == 0
    assert statuses(seen)["ill"]["ready"] is False
    assert 'Readiness probe failed: service unhealthy (responded with "NOT_SERVING")' in told(cluster, "grpc", "Unhealthy")


def test_https_is_asked_without_verification(cluster: Cluster, probed: Listener) -> None:
    cluster.ready("https")
    assert "/probe" in probed.heard
    assert probed.agents[probed.heard.index("/probe")].startswith("kube-probe/")


@pytest.mark.behaviour("probes/sidecar")
def test_probes_of_sidecars(cluster: Cluster, probed: Listener) -> None:
    restarted(cluster, "car-liveness", "car", "initContainerStatuses")
    cluster.event("car-unready", "Unhealthy")
    seen = cluster.until("car-unready", lambda obj: "running" in statuses(obj)["main"]["state"], "runs its main container")
    assert condition(seen, "Ready") == "False"
    cluster.sh("car-unready", "car", "touch /tmp/ready")
    cluster.ready("car-unready")
    cluster.event("car-startup", "Unhealthy")
    assert statuses(cluster.pod("car-startup"))["main"]["state"]["waiting"]["reason"] == "PodInitializing"
    cluster.sh("car-startup", "car", "touch /tmp/started")
    cluster.ready("car-startup")


@pytest.mark.behaviour("probes/terminating")
def test_while_a_pod_ends_readiness_falls_and_nothing_is_restarted(cluster: Cluster) -> None:
    script = "touch /tmp/ready; trap 'rm -f /tmp/ready' TERM; while :; do sleep 0.2; done"
    ready = execute("cat", "/tmp/ready")
    cluster.run(pod("ending", busybox("c", script, readinessProbe=ready, livenessProbe=ready), terminationGracePeriodSeconds=8))
    cluster.delete("pods", "ending", grace=8)
    seen = cluster.until("ending", lambda obj: condition(obj, "Ready") == "False", "is not ready any more", timeout=7)
    assert seen["metadata"]["deletionTimestamp"]
    assert "running" in statuses(seen)["c"]["state"]
    assert restarts(seen) == 0
    cluster.gone("pods", "ending")
    assert not any("Liveness" in each for each in told(cluster, "ending", "Unhealthy"))


@pytest.mark.behaviour("probes/liveness-exec-good", "probes/liveness-http-good", "probes/liveness-tcp-good")
def test_what_is_well_is_left_alone(cluster: Cluster, probed: Listener) -> None:
    for name in ("exec-good", "http-good"):
        seen = cluster.ready(name)
        started = max(moment(each["state"]["running"]["startedAt"]) for each in seen["status"]["containerStatuses"])
        # Several probes have had the time to fail.
        eventually(lambda started=started: (datetime.now(started.tzinfo) - started).total_seconds() > 8, "it ran for a while")
        seen = cluster.pod(name)
        assert condition(seen, "Ready") == "True"
        assert all(each["restartCount"] == 0 for each in seen["status"]["containerStatuses"])


@pytest.mark.slow
@pytest.mark.behaviour("probes/restart-count")
def test_restart_counts_only_grow(cluster: Cluster) -> None:
    cluster.create("pods", pod("counting", busybox("c", FOREVER, livenessProbe=execute("false"))))
    counts: list[int] = []

    def look(obj: Json) -> bool:
        counts.append(restarts(obj))
        return counts[-1] >= 5

    cluster.until("counting", look, "restarted five times", timeout=400)
    assert counts == sorted(counts)
