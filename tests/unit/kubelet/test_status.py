"""PodStatus: phases, conditions, container states, and that nothing goes backwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kubelet.doubles import UID, container, pod

from polong.kubelet.backoff import Wait
from polong.kubelet.containerstatus import Circumstances, Problem
from polong.kubelet.observation import Container, Observation, Sandbox, arrange
from polong.kubelet.status import pod_status, status_patch

Json = dict[str, Any]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HERE = Circumstances(host_ips=("192.0.2.1", "fd00::1"))
BOX = Sandbox("s0", 0, True, NOW, ("10.0.0.2",))


def running(name: str = "app", attempt: int = 0) -> Container:
    return Container(f"{name}{attempt}", name, "s0", attempt, "running", NOW, NOW, image="i", image_ref="r")


def exited(code: int, name: str = "app", attempt: int = 0, **more: Any) -> Container:
    return replace(running(name, attempt), state="exited", exit_code=code, finished=NOW, **more)


def conditions(status: Json) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each.get("reason", "")) for each in status["conditions"]}


def test_before_anything_was_made() -> None:
    status = pod_status(pod(container("a"), container("b")), Observation(), HERE, NOW)
    assert status["phase"] == "Pending"
    assert status["startTime"] == "2026-01-02T03:04:05Z"
    assert status["hostIPs"] == [{"ip": "192.0.2.1"}, {"ip": "fd00::1"}]
    assert "podIP" not in status
    assert conditions(status) == {
        "PodReadyToStartContainers": ("False", ""),
        "Initialized": ("True", ""),
        "Ready": ("False", "ContainersNotReady"),
        "ContainersReady": ("False", "ContainersNotReady"),
        "PodScheduled": ("True", ""),
    }
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    assert ready["message"] == "containers with unready status: [a b]"
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}


def test_the_host_network_has_the_hosts_addresses() -> None:
    status = pod_status(pod(hostNetwork=True), arrange([replace(BOX, ips=())], [running()]), HERE, NOW)
    assert status["podIP"] == "192.0.2.1"
    assert conditions(status)["PodReadyToStartContainers"] == ("True", "")


def test_an_end_says_what_happened() -> None:
    own = pod(restartPolicy="Never")
    seen = arrange([replace(BOX, ready=False)], [exited(137, reason="OOMKilled")])
    status = pod_status(own, seen, replace(HERE, over=True, notes={"app0": "out of memory"}), NOW)
    assert status["phase"] == "Failed"
    assert conditions(status)["Ready"] == ("False", "PodFailed")
    assert status["containerStatuses"][0]["state"]["terminated"] == {
        "exitCode": 137,
        "reason": "OOMKilled",
        "message": "out of memory",
        "startedAt": "2026-01-02T03:04:05Z",
        "finishedAt": "2026-01-02T03:04:05Z",
        "containerID": "polong://app0",
    }


def test_success() -> None:
    status = pod_status(pod(restartPolicy="Never"), arrange([BOX], [exited(0)]), replace(HERE, over=True), NOW)
    assert status["phase"] == "Succeeded"
    assert conditions(status)["Initialized"] == ("True", "PodCompleted")
    assert conditions(status)["ContainersReady"] == ("False", "PodCompleted")


def test_a_crash_loop_says_how_long() -> None:
    known = replace(HERE, waits={"app": Wait(0, 80)})
    status = pod_status(pod(), arrange([BOX], [exited(1, attempt=4), exited(2, attempt=3)]), known, NOW)
    entry = status["containerStatuses"][0]
    assert entry["state"]["waiting"] == {
        "reason": "CrashLoopBackOff",
        "message": f"back-off 1m20s restarting failed container=app pod=web_default({UID})",
    }
    assert entry["lastState"]["terminated"]["exitCode"] == 1
    assert (entry["restartCount"], status["phase"]) == (4, "Running")


def test_a_problem_is_a_waiting_reason() -> None:
    known = replace(HERE, problems={"app": Problem("ErrImagePull", "no", NOW)})
    entry = pod_status(pod(), arrange([BOX], []), known, NOW)["containerStatuses"][0]
    assert entry["state"] == {"waiting": {"reason": "ErrImagePull", "message": "no"}}


def test_transition_times_change_with_the_condition_alone() -> None:
    first = pod_status(pod(), arrange([BOX], [running()]), HERE, NOW)
    later = NOW + timedelta(hours=1)
    same = pod_status({**pod(), "status": first}, arrange([BOX], [running()]), HERE, later)
    assert same == first
    changed = pod_status({**pod(), "status": first}, arrange([BOX], [exited(1)]), HERE, later)
    times = {each["type"]: each["lastTransitionTime"] for each in changed["conditions"]}
    assert times["Ready"] == "2026-01-02T04:04:05Z"
    assert times["PodScheduled"] == "2026-01-02T03:04:05Z"


def test_foreign_conditions_and_readiness_gates() -> None:
    own = pod(readinessGates=[{"conditionType": "example.test/lb"}])
    seen = arrange([BOX], [running()])
    status = pod_status(own, seen, HERE, NOW)
    assert conditions(status)["Ready"] == ("False", "ReadinessGatesNotReady")
    own["status"]["conditions"] = [{"type": "example.test/lb", "status": "True"}]
    status = pod_status(own, seen, HERE, NOW)
    assert conditions(status)["Ready"] == ("True", "")
    assert {"type": "example.test/lb", "status": "True"} in status["conditions"]


def test_the_patch_is_what_changed_and_only_takes_away_what_is_ours() -> None:
    old = pod_status(pod(), arrange([BOX], [running()]), HERE, NOW)
    assert status_patch(pod(), old, old) is None
    new = {key: value for key, value in old.items() if key not in ("podIP", "podIPs")}
    assert status_patch(pod(), {**old, "nominatedNodeName": "x"}, new) == {
        "metadata": {"uid": UID},
        "status": {"podIP": None, "podIPs": None},
    }


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Anything that a runtime may hold for one container."""
    attempts = draw(st.integers(0, 3))
    held = [exited(draw(st.integers(0, 2)), attempt=each) for each in range(attempts)]
    last = draw(st.sampled_from(["none", "created", "running", "exited", "unknown"]))
    if last != "none":
        held.append(replace(running(attempt=attempts), state=last, finished=NOW))
    boxes = [replace(BOX, ready=draw(st.booleans()))] if draw(st.booleans()) else []
    return arrange(boxes, held)


@given(st.lists(st.tuples(observations(), st.booleans(), st.booleans()), min_size=1, max_size=6))
def test_nothing_goes_backwards(story: list[tuple[Observation, bool, bool]]) -> None:
    own, count, terminal = pod(), 0, ""
    for seen, over, problem in story:
        quiet = not seen.alive()
        known = replace(HERE, over=over and quiet, problems={"app": Problem("ErrImagePull", "", NOW)} if problem else {})
        status = pod_status(own, seen, known, NOW)
        assert status["containerStatuses"][0]["restartCount"] >= count
        assert not terminal or status["phase"] == terminal
        assert len(status["containerStatuses"][0]["state"]) == 1
        count = status["containerStatuses"][0]["restartCount"]
        terminal = status["phase"] if status["phase"] in ("Succeeded", "Failed") else terminal
        own = {**own, "status": status}
