"""Plans, by table; test_plan_machine.py has them as a state machine."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.kubelet.doubles import container, pod

from polong.kubelet.backoff import Backoff, Wait
from polong.kubelet.decisions import (
    CreateSandbox,
    Finish,
    Kill,
    Memory,
    Plan,
    RemoveContainer,
    RemoveSandbox,
    Start,
    StopSandbox,
)
from polong.kubelet.identity import container_hash
from polong.kubelet.observation import Container, Observation, Sandbox, arrange
from polong.kubelet.plan import DEBUGGER_KEPT, plan
from polong.kubelet.restarts import backoff_key

Json = dict[str, Any]
T0 = datetime(2026, 1, 1, tzinfo=UTC)


def sandbox(ready: bool = True, attempt: int = 0, identity: str = "s0", ips: tuple[str, ...] = ("10.0.0.2",)) -> Sandbox:
    return Sandbox(identity, attempt, ready, T0 + timedelta(seconds=attempt), ips)


def instance(name: str = "app", state: Any = "running", attempt: int = 0, sandbox_id: str = "s0", **more: Any) -> Container:
    known = {"spec_hash": container_hash(container(name)), "started": T0, **more}
    return Container(f"{name}{attempt}", name, sandbox_id, attempt, state, T0 + timedelta(seconds=attempt), **known)


def stages(pod: Json, seen: Observation, memory: Memory | None = None, now: float = 100.0) -> tuple[Any, ...]:
    return plan(pod, seen, memory or Memory(), now).stages


def test_a_new_pod_gets_a_sandbox() -> None:
    assert stages(pod(), Observation()) == ((CreateSandbox(0),),)


def test_with_a_sandbox_all_containers_start() -> None:
    seen = arrange([sandbox()], [])
    assert stages(pod(container("a"), container("b")), seen) == ((Start("a", 0, "s0"), Start("b", 0, "s0")),)


def test_a_pod_that_runs_needs_nothing() -> None:
    assert plan(pod(), arrange([sandbox()], [instance()]), Memory(), 100) == Plan()


def test_a_sandbox_without_an_address_is_made_again_but_not_in_the_hosts_network() -> None:
    seen = arrange([sandbox(ips=())], [])
    assert stages(pod(), seen) == ((StopSandbox("s0"),),)
    assert stages(pod(hostNetwork=True), seen) == ((Start("app", 0, "s0"),),)


def test_two_ready_sandboxes_are_one_too_many() -> None:
    seen = arrange([sandbox(), sandbox(identity="s1", attempt=1)], [])
    assert stages(pod(), seen) == ((StopSandbox("s1"), StopSandbox("s0")),)


def test_a_failed_sandbox_is_not_tried_at_once() -> None:
    assert plan(pod(), Observation(), Memory(sandbox_retry=105), 100) == Plan(wake=105)


def test_a_lost_sandbox_kills_what_lives_and_counts_on() -> None:
    seen = arrange([sandbox(ready=False)], [instance()])
    assert stages(pod(), seen) == ((Kill("app0", "app", 30),),)
    seen = arrange([sandbox(ready=False)], [instance(state="exited", exit_code=137)])
    assert stages(pod(), seen) == ((CreateSandbox(1, changed=True),),)


def test_a_lost_sandbox_is_not_made_again_for_work_that_is_done() -> None:
    done = arrange([sandbox(ready=False)], [instance(state="exited")])
    assert plan(pod(restartPolicy="OnFailure"), done, Memory(), 100) == Plan(over=True)
    assert plan(pod(restartPolicy="Never"), done, Memory(), 100) == Plan(over=True)


def test_a_restart_on_request_kills_that_container_alone() -> None:
    seen = arrange([sandbox()], [instance("a"), instance("b")])
    two, memory = pod(container("a"), container("b")), Memory(requested=frozenset({"a0"}))
    assert stages(two, seen, memory) == ((Kill("a0", "a", 30, "Container a is restarted on request"),),)
    gone = arrange([sandbox()], [instance("a", "exited", finished=T0), instance("b")])
    assert stages(two, gone, memory) == ((Start("a", 1, "s0", restart=True),),)
    again = arrange([sandbox()], [instance("a", attempt=1), instance("a", "exited", finished=T0), instance("b")])
    assert stages(two, again, memory) == ()


def test_a_restart_on_request_heeds_policy_and_failed_starts_but_no_back_off() -> None:
    ended = arrange([sandbox()], [instance(state="exited", finished=T0)])
    waiting = {backoff_key(container()): Backoff(300, 100)}
    memory = Memory(backoffs=waiting, ended={"app0": 100}, requested=frozenset({"app0"}))
    assert stages(pod(), ended, memory) == ((Start("app", 1, "s0", restart=True),),)
    assert stages(pod(restartPolicy="OnFailure"), ended, memory) == ((Start("app", 1, "s0", restart=True),),)
    assert plan(pod(), ended, replace(memory, retries={"app": 130}), 100) == Plan(wake=130)
    never = pod(restartPolicy="Never")
    assert plan(never, arrange([sandbox()], [instance()]), memory, 100) == Plan()
    assert plan(never, ended, memory, 100).over


def test_the_first_restart_comes_at_once_and_later_ones_wait() -> None:
    seen = arrange([sandbox()], [instance(state="exited", exit_code=1)])
    memory = Memory(ended={"app0": 95.0})
    assert stages(pod(), seen, memory) == ((Start("app", 1, "s0", restart=True),),)
    memory = replace(memory, backoffs={backoff_key(container()): Backoff(10, 90)})
    decided = plan(pod(), seen, memory, 100)
    assert decided == Plan(waits={"app": Wait(105.0, 10)}, wake=105.0)
    assert stages(pod(), seen, memory, 105.0) == ((Start("app", 1, "s0", restart=True),),)


def test_a_changed_image_restarts_without_back_off() -> None:
    changed = pod(container(image="other:1"))
    assert stages(changed, arrange([sandbox()], [instance()])) == (
        (Kill("app0", "app", 30, "Container app definition changed, will be restarted", replace=True),),
    )


def test_what_was_only_created_is_started_as_it_is() -> None:
    assert stages(pod(), arrange([sandbox()], [instance(state="created", started=None)])) == ((Start("app", 0, "s0", created="app0"),),)


def test_what_was_only_created_is_removed_when_the_pod_goes() -> None:
    seen = arrange([sandbox()], [instance(state="created", started=None)])
    assert stages(pod(), seen, Memory(ending=True)) == ((RemoveContainer("app0"),),)


def test_the_end_is_kill_then_finish() -> None:
    seen = arrange([sandbox()], [instance("a"), instance("b")])
    both = pod(container("b"), container("a"))
    assert stages(both, seen, Memory(ending=True)) == ((Kill("b0", "b", 30), Kill("a0", "a", 30)),)
    assert stages(both, arrange([sandbox()], [instance("a", "exited")]), Memory(ending=True)) == ((Finish(),),)
    assert stages(both, Observation(), Memory(ending=True)) == ((Finish(),),)


def test_a_refused_container_is_not_tried_again() -> None:
    never = pod(container("a"), container("b"), restartPolicy="Never")
    seen = arrange([sandbox()], [instance("b")])
    assert stages(never, seen, Memory(refused=frozenset({"a"}))) == ()


def test_old_instances_go_but_the_last_two_stay() -> None:
    dead = [instance(state="exited", attempt=each) for each in range(4)]
    seen = arrange([sandbox()], [*dead, instance(attempt=4)])
    assert stages(pod(), seen) == ((RemoveContainer("app2"), RemoveContainer("app1"), RemoveContainer("app0")),)


def test_old_sandboxes_go_with_their_last_container() -> None:
    old, new = sandbox(ready=False, identity="old"), sandbox(attempt=1, identity="new")
    assert stages(pod(), arrange([old, new], [instance(sandbox_id="new")])) == ((RemoveSandbox("old"),),)
    held = [instance(state="exited", sandbox_id="old"), instance(attempt=1, sandbox_id="new")]
    assert stages(pod(), arrange([old, new], held)) == ()


def test_a_finished_debugger_is_cleared_away_once_its_end_is_told() -> None:
    spec = pod()
    spec["spec"]["ephemeralContainers"] = [container("debug")]
    seen = arrange([sandbox()], [instance(), instance("debug", "exited")])
    memory = Memory(ended={"debug0": 95.0})
    assert plan(spec, seen, memory, 200.0) == Plan(), "nobody knows yet how it ended"
    told = {"name": "debug", "containerID": "polong://debug0", "state": {"terminated": {"containerID": "polong://debug0"}}}
    spec["status"] = {"ephemeralContainerStatuses": [told]}
    assert plan(spec, seen, memory, 100.0) == Plan(wake=95.0 + DEBUGGER_KEPT), "somebody may still read its last words"
    assert stages(spec, seen, memory, 105.0) == ((RemoveContainer("debug0"),),)
    gone = arrange([sandbox()], [instance()])
    assert plan(spec, gone, replace(memory, restarts={"debug": 0}), 110.0) == Plan(), "it never comes again"
