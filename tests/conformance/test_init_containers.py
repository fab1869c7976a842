"""Init containers: one after the other, to their end, before anything else; and what a Pod says while they run or fail."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.cluster import Cluster, condition, entry, statuses
from tests.e2e.cluster import busybox, pod

Json = dict[str, Any]

# A file that all containers of a Pod write to tells in which order they did.
STORY = [{"name": "story", "mountPath": "/story"}]


def told(name: str, then: str = "", **fields: Any) -> Json:
    """A container that writes `name` into the story when it begins and, unless it is ended before, `/name` at its end."""
    script = f"echo {name} >> /story/it; {then or ':'}; echo /{name} >> /story/it"
    return busybox(name, script, volumeMounts=STORY, imagePullPolicy="IfNotPresent", **fields)


def tale(name: str, *containers: Json, **spec: Any) -> Json:
    return pod(name, *containers, **{"volumes": [{"name": "story", "emptyDir": {}}], **spec})


def reason(of: Json, kind: str) -> tuple[str, str]:
    found = next(each for each in of["status"]["conditions"] if each["type"] == kind)
    return found.get("reason", ""), found.get("message", "")


@pytest.mark.behaviour("init/never", "init/always", "ordering/init-serial")
def test_they_run_one_after_the_other_before_all_else(cluster: Cluster) -> None:
    inits = [told("one", "sleep 0.3"), told("two", "sleep 0.1")]
    cluster.create("pods", tale("never", told("app"), initContainers=inits, restartPolicy="Never"))
    cluster.create("pods", tale("always", told("app", "sleep 1000"), told("app2", "sleep 1000"), initContainers=inits))
    ended = cluster.phase("never", "Succeeded")
    running = cluster.ready("always")
    for of in (ended, running):
        assert condition(of, "Initialized") == "True"
        for each in statuses(of, "initContainerStatuses").values():
            assert each["ready"] is True
            assert each["started"] is False
            assert each["state"]["terminated"]["exitCode"] == 0
            assert each["state"]["terminated"]["reason"] == "Completed"
    assert running["status"]["phase"] == "Running"
    assert list(statuses(running, "initContainerStatuses")) == ["one", "two"]
    lines = cluster.sh("always", "app", "cat /story/it").split()
    assert lines[:4] == ["one", "/one", "two", "/two"]
    assert sorted(lines[4:]) == ["app", "app2"]
    assert cluster.logs("always", "one") == ""


@pytest.mark.behaviour("init/fail-never", "ordering/init-failure")
def test_one_that_fails_keeps_the_rest_from_starting(cluster: Cluster) -> None:
    cluster.create("pods", tale("fail-never", told("run1"), initContainers=[told("init1"), told("init2", "exit 4")], restartPolicy="Never"))
    unknown = busybox("init1", "true") | {"image": "no.example.test/none:1", "imagePullPolicy": "Never"}
    cluster.create("pods", tale("fail-image", told("run1"), initContainers=[unknown]))

    failed = cluster.phase("fail-never", "Failed")
    assert condition(failed, "Initialized") == "False"
    assert reason(failed, "Initialized") == ("ContainersNotInitialized", "containers with incomplete status: [init2]")
    assert statuses(failed, "initContainerStatuses")["init2"]["state"]["terminated"]["exitCode"] == 4
    assert statuses(failed)["run1"]["state"] == {"waiting": {"reason": "PodInitializing"}}

    stuck = cluster.until("fail-image", lambda of: entry(of, "init1")["state"]["waiting"].get("message"), "says why it waits")
    assert entry(stuck, "init1")["state"]["waiting"]["reason"] == "ErrImageNeverPull"
    assert entry(stuck, "run1")["state"]["waiting"]["reason"] == "PodInitializing"


@pytest.mark.slow
@pytest.mark.behaviour("init/fail-always", "ordering/init-failure")
def test_one_that_fails_is_tried_again_and_again(cluster: Cluster) -> None:
    fails = told("init1", "exit 3")
    cluster.create("pods", tale("fail-always", told("run1"), initContainers=[fails, told("init2")]))
    again = cluster.until("fail-always", lambda of: entry(of, "init1")["restartCount"] >= 3, "restarts its init container", 90)
    first, second = statuses(again, "initContainerStatuses").values()
    assert first["lastState"]["terminated"]["exitCode"] == 3
    assert second["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert statuses(again)["run1"]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert again["status"]["phase"] == "Pending"
    assert reason(again, "Initialized") == ("ContainersNotInitialized", "containers with incomplete status: [init1 init2]")
    cluster.delete("pods", "fail-always", grace=1)
    cluster.gone("pods", "fail-always")


@pytest.mark.behaviour("ordering/init-before-poststart")
def test_they_are_done_before_any_post_start_hook(cluster: Cluster) -> None:
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "echo hook >> /story/it"]}}}
    inits = [told("one"), told("two", "sleep 0.3")]
    cluster.create("pods", tale("hooked", told("app", "sleep 1000", lifecycle=hook), initContainers=inits))
    cluster.ready("hooked")
    lines = cluster.sh("hooked", "app", "cat /story/it").split()
    assert lines[:4] == ["one", "/one", "two", "/two"]
    assert sorted(lines[4:]) == ["app", "hook"]
    cluster.delete("pods", "hooked", grace=1)


@pytest.mark.behaviour("ordering/no-init-rerun")
def test_they_do_not_run_again_when_a_container_restarts(cluster: Cluster) -> None:
    script = "test -e /story/twice && sleep 1000; touch /story/twice; exit 1"
    cluster.create("pods", tale("rerun", told("app", script), initContainers=[told("one")]))
    cluster.until("rerun", lambda of: entry(of, "app")["restartCount"] == 1 and condition(of, "Ready") == "True", "restarts")
    assert cluster.sh("rerun", "app", "cat /story/it").split() == ["one", "/one", "app", "app"]
    assert statuses(cluster.pod("rerun"), "initContainerStatuses")["one"]["restartCount"] == 0
    # Another image for an init container that has run changes nothing that runs.
    change = {"spec": {"initContainers": [{"name": "one", "image": "nginx"}]}}
    cluster.patch("pods", "rerun", change)
    after = cluster.until("rerun", lambda of: of["status"]["observedGeneration"] == of["metadata"]["generation"] == 2, "is observed")
    assert statuses(after, "initContainerStatuses")["one"]["restartCount"] == 0
    assert statuses(after)["app"]["restartCount"] == 1
    assert after["status"]["phase"] == "Running"
