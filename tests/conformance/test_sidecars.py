"""Side-cars: init containers that stay. They start in order, hold nothing up but what comes after them, and go last."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.cluster import Cluster, condition, entry
from tests.e2e.cluster import busybox, eventually, pod

Json = dict[str, Any]

STORY = [{"name": "story", "mountPath": "/story"}]
# Ends a second after it was asked to, so that whoever does not wait for it is found out.
SLOW = "trap 'sleep 1; echo /{0} >> /story/it; exit 0' TERM; echo {0} >> /story/it; while :; do sleep 0.1; done"
STUBBORN = "trap '' TERM; echo {0} >> /story/it; while :; do sleep 0.1; done"


def shell(name: str, script: str, **fields: Any) -> Json:
    return busybox(name, script, volumeMounts=STORY, imagePullPolicy="IfNotPresent", **fields)


def sidecar(name: str, script: str = SLOW, **fields: Any) -> Json:
    return shell(name, script.format(name), restartPolicy="Always", **fields)


def tale(name: str, story: str, *containers: Json, **spec: Any) -> Json:
    """`story` is a directory of the node, so that it can be read when the Pod is gone."""
    volume = {"name": "story", "hostPath": {"path": story, "type": "Directory"}}
    return pod(name, *containers, **{"volumes": [volume], "terminationGracePeriodSeconds": 30, **spec})


@pytest.fixture
def story(tmp_path: Any) -> Any:
    return tmp_path / "it"


@pytest.mark.behaviour("ordering/sidecar-start", "ordering/sidecar-stop")
def test_they_start_in_order_and_stop_in_reverse_after_the_rest(cluster: Cluster, story: Any) -> None:
    inits = [sidecar("first"), shell("step", "echo step >> /story/it"), sidecar("second")]
    cluster.create("pods", tale("order", str(story.parent), shell("app", SLOW.format("app")), initContainers=inits))
    running = cluster.ready("order")
    assert entry(running, "first")["started"] is True
    assert entry(running, "second")["ready"] is True
    eventually(lambda: len(story.read_text().split()) == 4, "all have begun")
    assert story.read_text().split() == ["first", "step", "second", "app"]
    cluster.delete("pods", "order")
    cluster.gone("pods", "order")
    assert story.read_text().split()[4:] == ["/app", "/second", "/first"]


@pytest.mark.behaviour("ordering/sidecar-start")
def test_they_always_restart_and_do_not_keep_a_pod_from_completing(cluster: Cluster, story: Any) -> None:
    dies = "echo up >> /story/it; test $(grep -c up /story/it) -gt 1 && exec sleep 1000; sleep 0.3; exit 5"
    waits = "while ! test $(grep -c up /story/it) -gt 1; do sleep 0.05; done; sleep 0.5"
    spec = {"restartPolicy": "Never", "initContainers": [sidecar("car", dies)], "terminationGracePeriodSeconds": 2}
    cluster.create("pods", tale("complete", str(story.parent), shell("app", waits), **spec))
    again = cluster.until("complete", lambda of: entry(of, "car")["restartCount"] == 1 and entry(of, "car")["ready"], "restarts")
    assert entry(again, "car")["lastState"]["terminated"]["exitCode"] == 5
    assert again["status"]["phase"] == "Running"
    done = cluster.phase("complete", "Succeeded")
    # A plain sleep as PID 1 hears no TERM: it was killed, and that is no failure of the Pod.
    assert entry(done, "car")["state"]["terminated"]["exitCode"] == 137
    assert entry(done, "app")["state"]["terminated"]["exitCode"] == 0
    assert entry(done, "car")["restartCount"] == 1


@pytest.mark.behaviour("ordering/sidecar-stop")
def test_what_is_left_at_the_end_of_the_grace_gets_two_seconds(cluster: Cluster, story: Any) -> None:
    inits = [sidecar("polite"), sidecar("rude", STUBBORN)]
    rude = shell("app", STUBBORN.format("app"))
    cluster.create("pods", tale("late", str(story.parent), rude, initContainers=inits, terminationGracePeriodSeconds=2))
    cluster.ready("late")
    eventually(lambda: len(story.read_text().split()) == 3, "all have begun")
    cluster.delete("pods", "late")
    cluster.gone("pods", "late", timeout=30)
    # 2 s for app, then for both side-cars together: the polite one has time enough.
    assert story.read_text().split()[3:] == ["/polite"]


@pytest.mark.behaviour("ordering/sidecar-start", "probes/sidecar")
def test_the_next_one_waits_for_the_startup_probe(cluster: Cluster, story: Any) -> None:
    probe = {"exec": {"command": ["test", "-e", "/story/go"]}, "periodSeconds": 1, "failureThreshold": 100}
    cluster.create(
        "pods", tale("startup", str(story.parent), shell("app", "sleep 1000"), initContainers=[sidecar("car", startupProbe=probe)])
    )
    seen = cluster.until("startup", lambda of: "running" in entry(of, "car")["state"], "runs its side-car")
    assert entry(seen, "car")["started"] is False
    assert entry(seen, "app")["state"]["waiting"]["reason"] == "PodInitializing"
    assert seen["status"]["phase"] == "Pending"
    assert condition(seen, "Initialized") == "False"
    (story.parent / "go").touch()
    ready = cluster.ready("startup")
    assert entry(ready, "car")["started"] is True
    cluster.delete("pods", "startup", grace=1)
