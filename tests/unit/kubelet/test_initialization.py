"""Whose turn it is among init containers and side-cars, and what a Pod's status says meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.kubelet.doubles import container, pod

from polong.kubelet.backoff import Backoff, Wait
from polong.kubelet.containerstatus import Circumstances, Problem
from polong.kubelet.decisions import DEADLINE_EXCEEDED, Kill, Memory, Plan, Start, StopSandbox, Verdict
from polong.kubelet.health import Health
from polong.kubelet.identity import container_hash
from polong.kubelet.observation import Container, Observation, Sandbox, arrange
from polong.kubelet.plan import plan
from polong.kubelet.restarts import backoff_key
from polong.kubelet.status import pod_status

Json = dict[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BOX = Sandbox("s0", 0, True, NOW, ("10.0.0.2",))
ALWAYS = {"restartPolicy": "Always"}


def instance(name: str, state: Any = "running", code: int = 0, attempt: int = 0, sandbox: str = "s0") -> Container:
    finished = NOW if state == "exited" else None
    made = NOW + timedelta(seconds=attempt)
    known = {"started": NOW, "finished": finished, "exit_code": code, "spec_hash": container_hash(container(name))}
    return Container(f"{name}{attempt}", name, sandbox, attempt, state, made, **known)


def done(name: str) -> Container:
    return instance(name, "exited")


def decided(own: Json, *held: Container, boxes: tuple[Sandbox, ...] = (BOX,), now: float = 100.0, **memory: Any) -> Plan:
    return plan(own, arrange(boxes, held), Memory(**memory), now)


def started(made: Plan) -> list[str]:
    return [each.name for stage in made.stages for each in stage if isinstance(each, Start)]


def status(own: Json, *held: Container, **known: Any) -> Json:
    return pod_status(own, arrange([BOX], held), Circumstances(**known), NOW)


def condition(of: Json, kind: str) -> tuple[str, str, str]:
    found = next(each for each in of["conditions"] if each["type"] == kind)
    return found["status"], found.get("reason", ""), found.get("message", "")


TWO = pod(initContainers=[container("one"), container("two")])
CARS = pod(initContainers=[container("car", **ALWAYS), container("step"), container("tail", **ALWAYS)])


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([], ["one"]),
        ([instance("one")], []),
        ([done("one")], ["two"]),
        ([done("one"), done("two")], ["app"]),
        ([done("one"), done("two"), instance("app")], []),
        ([instance("one", "exited", 1)], ["one"]),
        ([done("one"), instance("two", "exited", 1)], ["two"]),
        # What the runtime has forgotten is not run again when something after it was made.
        ([done("two")], ["app"]),
        ([instance("app", "exited", 1)], ["app"]),
        ([instance("one", "created")], ["one"]),
    ],
)
def test_one_after_the_other(held: list[Container], expected: list[str]) -> None:
    assert started(decided(TWO, *held)) == expected


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([], ["car"]),
        ([instance("car")], ["step"]),
        ([instance("car", "exited", 1)], ["car"]),
        ([instance("car"), done("step")], ["tail"]),
        # A side-car that ended is started again, and holds nothing up that is already past it.
        ([instance("car", "exited", 0), done("step")], ["car", "tail"]),
        ([instance("car"), done("step"), instance("tail")], ["app"]),
        ([instance("car", "exited", 0), done("step"), instance("tail", "exited", 3), instance("app")], ["car", "tail"]),
    ],
)
def test_side_cars_stay(held: list[Container], expected: list[str]) -> None:
    assert started(decided(CARS, *held)) == expected


def test_the_next_waits_until_a_side_car_has_started() -> None:
    own = pod(initContainers=[container("car", startupProbe={"exec": {}}, **ALWAYS)])
    assert decided(own, instance("car")) == Plan()
    assert started(decided(own, instance("car"), health={"car0": Health()})) == ["app"]
    waiting = status(own, instance("car"))
    assert (waiting["phase"], condition(waiting, "Initialized")[1]) == ("Pending", "ContainersNotInitialized")


def test_in_a_new_sandbox_all_begin_again() -> None:
    boxes = (replace(BOX, ready=False), Sandbox("s1", 1, True, NOW, ("10.0.0.3",)))
    old = [done("one"), done("two"), instance("app", "exited", 137)]
    again = decided(TWO, *old, boxes=boxes)
    assert again.stages == ((Start("one", 1, "s1", restart=True),),)
    # How it ended before is no reason to wait, and a failure of then is none now.
    never = pod(initContainers=[container("one")], containers=[container("app", **ALWAYS)], restartPolicy="Never")
    failed = instance("one", "exited", 1)
    assert started(decided(never, failed, instance("app", "exited", 137), boxes=boxes)) == ["one"]


def test_a_failure_for_good_is_the_pods() -> None:
    never = pod(initContainers=[container("car", **ALWAYS), container("one")], restartPolicy="Never")
    failed = decided(never, instance("car"), instance("one", "exited", 2))
    assert failed == Plan(((Kill("car0", "car", 30),), (StopSandbox("s0"),)), over=True)
    own = pod(initContainers=[container("one", restartPolicy="Never")])
    assert decided(own, instance("one", "exited", 2)).over
    over = status(never, instance("car", "exited", 137), instance("one", "exited", 2), over=True)
    assert over["phase"] == "Failed"
    assert over["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert condition(over, "Initialized") == ("False", "ContainersNotInitialized", "containers with incomplete status: [car one]")


def test_side_cars_go_last_in_reverse_and_keep_nothing_alive() -> None:
    all_of_them = [instance("car"), done("step"), instance("tail"), instance("app")]
    own = {**CARS, "spec": {**CARS["spec"], "containers": [container("app"), container("b")], "ephemeralContainers": [container("look")]}}
    (kills,) = decided(own, *all_of_them, instance("b"), instance("look"), ending=True).stages
    assert kills == (
        Kill("app0", "app", 30),
        Kill("b0", "b", 30),
        Kill("tail0", "tail", 30, after=frozenset({"app0", "b0"})),
        Kill("car0", "car", 30, after=frozenset({"app0", "b0", "tail0"})),
        Kill("look0", "look", 30),
    )
    completed = {**CARS, "spec": {**CARS["spec"], "restartPolicy": "OnFailure"}}
    finished = decided(completed, instance("car"), done("step"), instance("tail"), done("app"))
    assert finished.over
    assert [each.name for each in finished.stages[0] if isinstance(each, Kill)] == ["tail", "car"]
    # Until they have stopped the Pod runs; how they ended does not matter.
    assert status(completed, instance("car"), done("step"), instance("tail"), done("app"))["phase"] == "Running"
    ended = [instance("car", "exited", 137), done("step"), instance("tail", "exited", 1), done("app")]
    assert status(completed, *ended, over=True)["phase"] == "Succeeded"


def test_ephemeral_containers_start_whatever_else_happens_and_once() -> None:
    own = {**TWO, "spec": {**TWO["spec"], "ephemeralContainers": [container("look")]}}
    assert started(decided(own)) == ["look", "one"]
    assert started(decided(own, instance("look"), instance("one"))) == []
    assert started(decided(own, instance("look", "exited", 1), instance("one"))) == []
    assert started(decided(own, instance("one"), restarts={"look": 0})) == []
    boxes = (replace(BOX, ready=False), Sandbox("s1", 1, True, NOW, ("10.0.0.3",)))
    assert started(decided(own, instance("look", "exited", 137), boxes=boxes)) == ["one"]
    told = status(own, instance("look", "exited", 128), problems={"look": Problem("RunContainerError", "no", NOW)})
    (entry,) = told["ephemeralContainerStatuses"]
    assert entry["state"]["terminated"]["exitCode"] == 128
    assert (entry["ready"], "started" in entry) == (False, False)
    # They are no part of readiness or phase.
    ready = {**pod(), "spec": {**pod()["spec"], "ephemeralContainers": [container("look")]}}
    assert condition(status(ready, instance("app"), instance("look", "exited", 1)), "Ready")[0] == "True"


def ruled(operator: str) -> Json:
    return {"restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": operator, "values": [42]}}]}


@pytest.mark.parametrize(
    ("fields", "policy", "code", "again"),
    [
        ({}, "Always", 0, True),
        ({}, "OnFailure", 0, False),
        ({}, "Never", 1, False),
        ({"restartPolicy": "Never"}, "Always", 1, False),
        ({"restartPolicy": "OnFailure"}, "Never", 1, True),
        ({"restartPolicy": "OnFailure"}, "Always", 0, False),
        (
            ruled("In"),
            "Never",
            42,
            True,
        ),
        (
            ruled("In"),
            "Always",
            41,
            False,
        ),
        (
            ruled("NotIn"),
            "Never",
            0,
            True,
        ),
    ],
)
def test_rules_then_the_containers_policy_then_the_pods(fields: Json, policy: str, code: int, again: bool) -> None:
    own = pod(container("app", **fields), restartPolicy=policy)
    made = decided(own, instance("app", "exited", code))
    assert started(made) == (["app"] if again else [])
    assert made.over is not again
    phase = status(own, instance("app", "exited", code))["phase"]
    assert phase == ("Running" if again else "Failed" if code else "Succeeded")


def test_what_was_killed_to_be_replaced_is_replaced() -> None:
    own = pod(restartPolicy="Never")
    assert decided(own, done("app")).over
    assert started(decided(own, done("app"), replaced=frozenset({"app0"}))) == ["app"]


def test_a_running_step_with_another_image_is_left_alone_but_a_side_car_is_not() -> None:
    step = pod(initContainers=[container("one", image="other")])
    assert decided(step, instance("one")) == Plan()
    car = pod(initContainers=[container("car", image="other", **ALWAYS)])
    (kill,) = decided(car, instance("car"), instance("app")).stages[0]
    assert isinstance(kill, Kill)
    assert kill.replace


def test_a_failing_step_waits_as_any_other() -> None:
    memory = {"backoffs": {backoff_key(container("one")): Backoff(20, 90)}, "ended": {"one0": 95.0}}
    made = decided(TWO, instance("one", "exited", 1), **memory)
    assert made == Plan(waits={"one": Wait(115.0, 20)}, wake=115.0)
    told = status(TWO, instance("one", "exited", 1), waits=made.waits)
    first, second = told["initContainerStatuses"]
    assert first["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert first["lastState"]["terminated"]["exitCode"] == 1
    assert second["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert told["phase"] == "Pending"


def test_a_deadline_and_any_other_verdict_end_a_pod() -> None:
    running = instance("app")
    assert decided(pod(), running, deadline=130.0) == Plan(wake=130.0)
    late = decided(pod(), running, deadline=100.0)
    assert (late.stages[0], late.over, late.verdict) == ((Kill("app0", "app", 30),), True, DEADLINE_EXCEEDED)
    evicted = Verdict("Evicted", "no room", 3)
    assert decided(pod(), running, verdict=evicted).stages[0] == (Kill("app0", "app", 3),)
    assert status(pod(), running, verdict=evicted)["phase"] == "Running"
    told = status(pod(), done("app"), verdict=evicted, over=True)
    assert (told["phase"], told["reason"], told["message"]) == ("Failed", "Evicted", "no room")


def test_what_the_runtime_has_forgotten() -> None:
    forgotten = status(TWO, done("two"), instance("app"))
    assert forgotten["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    assert forgotten["initContainerStatuses"][0]["ready"]
    # Deleted before it was initialized: what never had its turn waits, and the Pod has failed.
    early = status(TWO, instance("one", "exited", 143), final=True)
    assert [list(each["state"]) for each in early["initContainerStatuses"]] == [["terminated"], ["waiting"]]
    assert list(early["containerStatuses"][0]["state"]) == ["waiting"]
    assert early["phase"] == "Failed"
    late = pod_status(TWO, Observation(), Circumstances(final=True), NOW)
    assert late["phase"] == "Failed"
