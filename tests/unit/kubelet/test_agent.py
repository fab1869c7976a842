"""Pods through their lives, over a runtime and an API in memory: start, restart, back-off, sandbox lost, deletion, adoption."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.kubelet.conftest import Bench
from tests.unit.kubelet.doubles import UID, container, pod, settle

from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition, Unavailable

Json = dict[str, Any]


def ready(bench: Bench, uid: str = UID) -> bool:
    conditions = {each["type"]: each["status"] for each in bench.api.status(uid).get("conditions", ())}
    return conditions.get("Ready") == "True"


def state(bench: Bench, place: int = 0) -> Json:
    found: Json = bench.api.status(UID)["containerStatuses"][place]
    return found


def waiting(bench: Bench, place: int = 0) -> str:
    statuses = bench.api.status(UID).get("containerStatuses")
    return str(statuses[place]["state"].get("waiting", {}).get("reason", "")) if statuses else ""


async def test_a_pod_starts_and_says_so(bench: Bench) -> None:
    bench.api.create(pod(container("nginx"), container("shell"), shareProcessNamespace=True))
    await bench.until(lambda: ready(bench))
    status = bench.api.status(UID)
    assert status["phase"] == "Running"
    assert status["podIP"] == "10.0.0.2"
    assert status["podIPs"] == [{"ip": "10.0.0.2"}]
    assert status["hostIP"] == "192.0.2.10"
    assert status["observedGeneration"] == 1
    assert [each["name"] for each in status["containerStatuses"]] == ["nginx", "shell"]
    assert status["containerStatuses"][0]["containerID"].startswith("polong://c")
    assert {each["type"]: each["status"] for each in status["conditions"]} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }
    for config in bench.runtime.configs.values():
        assert config.linux.security_context.namespace_options.pid == v1.POD


async def test_containers_are_created_side_by_side_and_started_in_order(bench: Bench) -> None:
    create = bench.runtime.create_container
    under_way: set[str] = set()
    both = asyncio.Event()

    async def meeting(request: v1.CreateContainerRequest) -> v1.CreateContainerResponse:
        under_way.add(request.config.metadata.name)
        if len(under_way) == 2:
            both.set()
        await both.wait()  # for ever, if one were created after the other
        if request.config.metadata.name == "b":
            await settle()  # the first in the spec is the last to be made
        return await create(request)

    bench.runtime.create_container = meeting  # type: ignore[method-assign]
    bench.api.create(pod(container("b"), container("a")))
    await bench.until(lambda: ready(bench))
    calls = [each[:2] for each in bench.runtime.calls if each[0] in ("create_container", "start_container")]
    assert calls == [("create_container", "a"), ("create_container", "b"), ("start_container", "b"), ("start_container", "a")]


async def test_events_tell_the_story(bench: Bench) -> None:
    bench.api.create(pod())
    await bench.until(lambda: ready(bench))
    await bench.quiet()
    story = [(each["reason"], each["message"]) for each in bench.api.events if each["involvedObject"]["kind"] == "Pod"]
    assert story == [
        ("Scheduled", "Successfully assigned default/web to node"),
        ("Pulled", 'Container image "busybox:1.28" already present on machine'),
        ("Created", "Created container: app"),
        ("Started", "Started container app"),
    ]
    assert bench.api.events[-1]["involvedObject"]["fieldPath"] == "spec.containers{app}"
    assert bench.api.events[-1]["source"] == {"component": "kubelet", "host": "node"}


async def test_a_container_that_ends_is_started_again_with_a_growing_back_off(bench: Bench) -> None:
    bench.api.create(pod())
    await bench.until(lambda: ready(bench))
    bench.runtime.exit("app", 1)
    await bench.until(lambda: state(bench)["restartCount"] == 1 and ready(bench))
    assert state(bench)["lastState"]["terminated"]["exitCode"] == 1
    for delay in (10, 20, 40):
        count = state(bench)["restartCount"]
        bench.runtime.exit("app", 1)
        await bench.until(lambda: waiting(bench) == "CrashLoopBackOff")
        message = state(bench)["state"]["waiting"]["message"]
        assert message == f"back-off {delay}s restarting failed container=app pod=web_default({UID})"
        assert bench.api.status(UID)["phase"] == "Running"
        await bench.clock.advance(delay - 1)
        await bench.quiet()
        assert not bench.runtime.live("app")
        await bench.clock.advance(1.5)
        await bench.until(lambda count=count: state(bench)["restartCount"] == count + 1 and ready(bench))
    assert bench.api.told("BackOff") == [f"Back-off restarting failed container app in pod web_default({UID})"]
    assert next(each for each in bench.api.events if each["reason"] == "BackOff")["count"] == 3


async def test_the_back_off_is_forgotten_after_ten_quiet_minutes(bench: Bench) -> None:
    bench.api.create(pod())
    await bench.until(lambda: ready(bench))
    for wait in (0, 11):
        bench.runtime.exit("app", 1)
        await bench.quiet()
        await bench.clock.advance(wait)
        await bench.until(lambda: ready(bench))
    await bench.clock.advance(601)
    bench.runtime.exit("app", 1)
    await bench.until(lambda: state(bench)["restartCount"] == 3)


@pytest.mark.parametrize(
    ("policy", "code", "phase", "reason"),
    [("Never", 0, "Succeeded", "Completed"), ("Never", 3, "Failed", "Error"), ("OnFailure", 0, "Succeeded", "Completed")],
)
async def test_a_pod_that_has_done_its_work_ends(bench: Bench, policy: str, code: int, phase: str, reason: str) -> None:
    bench.api.create(pod(restartPolicy=policy))
    await bench.until(lambda: ready(bench))
    bench.runtime.exit("app", code)
    await bench.until(lambda: bench.api.status(UID)["phase"] == phase)
    assert state(bench)["state"]["terminated"]["reason"] == reason
    assert state(bench)["restartCount"] == 0
    await bench.until(lambda: not [each for each in bench.runtime.sandboxes.values() if each.state == v1.SANDBOX_READY])
    assert UID in bench.api.objects
    assert not bench.api.told("SandboxChanged")


async def test_on_failure_restarts_only_failures(bench: Bench) -> None:
    bench.api.create(pod(container("bad"), container("good"), restartPolicy="OnFailure"))
    await bench.until(lambda: ready(bench))
    bench.runtime.exit("good", 0)
    bench.runtime.exit("bad", 2)
    await bench.until(lambda: state(bench, 0)["restartCount"] == 1 and "running" in state(bench, 0)["state"])
    assert "terminated" in state(bench, 1)["state"]
    assert bench.api.status(UID)["phase"] == "Running"


async def test_a_lost_sandbox_is_made_again(bench: Bench) -> None:
    bench.api.create(pod(container("a"), container("b"), shareProcessNamespace=True))
    await bench.until(lambda: ready(bench))
    bench.runtime.lose_sandbox()
    await bench.until(lambda: state(bench)["restartCount"] == 1 and ready(bench))
    assert [each["restartCount"] for each in bench.api.status(UID)["containerStatuses"]] == [1, 1]
    assert ("run_pod_sandbox", 1) in bench.runtime.calls
    await bench.quiet()
    assert bench.api.told("SandboxChanged") == ["Pod sandbox changed, it will be killed and re-created."]
    assert bench.api.status(UID)["podIP"] == "10.0.0.3"


async def test_a_lost_sandbox_ends_a_never_pod(bench: Bench) -> None:
    bench.api.create(pod(restartPolicy="Never"))
    await bench.until(lambda: ready(bench))
    bench.runtime.lose_sandbox()
    await bench.until(lambda: bench.api.status(UID)["phase"] == "Failed")
    await bench.quiet()
    assert [each for each in bench.runtime.calls if each[0] == "run_pod_sandbox"] == [("run_pod_sandbox", 0)]


async def test_deletion_leaves_nothing(bench: Bench) -> None:
    bench.api.create(pod(container("a"), container("b"), volumes=[{"name": "v", "emptyDir": {}}]))
    await bench.until(lambda: ready(bench))
    assert list((bench.config.root_dir / "pods").iterdir())
    bench.api.delete(UID, 30)
    await bench.until(lambda: bench.api.deleted == [UID])
    stops = [each for each in bench.runtime.calls if each[0] == "stop_container"]
    assert sorted(stops) == [("stop_container", "a", 30), ("stop_container", "b", 30)]
    last = bench.api.history[-1]
    assert last["phase"] == "Failed"
    assert last["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
    assert not bench.runtime.sandboxes
    assert not bench.runtime.containers
    assert not list((bench.config.root_dir / "pods").iterdir())
    assert not list(bench.config.log_dir.iterdir())
    assert not bench.cgroups.made
    await bench.quiet()
    assert bench.api.told("Killing") == ["Stopping container a", "Stopping container b"]


async def test_a_second_deletion_shortens_the_grace(bench: Bench) -> None:
    bench.api.create(pod())
    await bench.until(lambda: ready(bench))
    bench.runtime.stubborn.add("app")
    bench.api.delete(UID, 999)
    await bench.until(lambda: ("stop_container", "app", 999) in bench.runtime.calls)
    bench.api.delete(UID, 5)
    await bench.until(lambda: ("stop_container", "app", 5) in bench.runtime.calls)
    await bench.clock.advance(5)
    await bench.until(lambda: bench.api.deleted == [UID])
    assert len([each for each in bench.runtime.calls if each[0] == "stop_container"]) == 2


async def test_deletion_is_final(bench: Bench) -> None:
    bench.api.create(pod())
    await bench.until(lambda: ready(bench))
    bench.runtime.stubborn.add("app")
    bench.api.delete(UID, 50)
    await bench.until(lambda: ("stop_container", "app", 50) in bench.runtime.calls)
    bench.api.set_image(UID, "app", "other:1")
    bench.api.change(UID, deletionTimestamp=None)
    await bench.clock.advance(51)
    await bench.until(lambda: bench.api.deleted == [UID])
    assert len([each for each in bench.runtime.calls if each[0] == "create_container"]) == 1


async def test_a_pod_deleted_while_its_image_is_pulled_goes_at_once(bench: Bench) -> None:
    bench.images.gate = asyncio.Event()
    bench.api.create(pod(container(image="slow:1")))
    await bench.until(lambda: bench.images.pulls == ["slow:1"])
    bench.api.delete(UID, 30)
    await bench.until(lambda: bench.api.deleted == [UID])
    last = bench.api.history[-1]
    assert last["phase"] == "Failed"
    assert last["containerStatuses"][0]["state"]["terminated"]["reason"] == "ContainerStatusUnknown"


async def test_a_force_deleted_pod_is_killed(bench: Bench) -> None:
    bench.api.create(pod())
    await bench.until(lambda: ready(bench))
    bench.api.force_delete(UID)
    await bench.until(lambda: not bench.runtime.sandboxes and not bench.runtime.containers)
    assert ("stop_container", "app", 2) in bench.runtime.calls
    assert not bench.api.deleted


async def test_a_pod_that_nobody_knows_is_ended(bench: Bench) -> None:
    bench.api.create(pod())
    await bench.until(lambda: ready(bench))
    await bench.kubelet.aclose()
    bench.api.objects.clear()
    await bench.again()
    await bench.until(lambda: not bench.runtime.sandboxes and not bench.runtime.containers)


async def test_a_new_daemon_restarts_nothing(bench: Bench) -> None:
    bench.api.create(pod())
    await bench.until(lambda: ready(bench))
    bench.runtime.exit("app", 1)
    await bench.until(lambda: state(bench)["restartCount"] == 1 and ready(bench))
    before, calls = bench.api.status(UID), len(bench.runtime.calls)
    await bench.again()
    await bench.quiet()
    assert bench.runtime.calls[calls:] == []
    assert bench.api.status(UID) == before


async def test_a_container_that_ended_while_the_daemon_was_away_is_restarted(bench: Bench) -> None:
    bench.api.create(pod())
    await bench.until(lambda: ready(bench))
    await bench.kubelet.aclose()
    bench.runtime.exit("app", 9)
    await bench.again()
    await bench.until(lambda: state(bench)["restartCount"] == 1 and ready(bench))


async def test_what_was_created_and_never_started_is_started_after_a_crash(bench: Bench) -> None:
    bench.api.create(pod())
    await bench.until(lambda: ready(bench))
    (found,) = bench.runtime.containers.values()
    await bench.kubelet.aclose()
    found.state = v1.CONTAINER_CREATED
    await bench.again()
    await bench.until(lambda: bench.runtime.live("app"))
    assert len(bench.runtime.containers) == 1


async def test_a_reboot_counts_as_a_restart(bench: Bench) -> None:
    """The runtime has forgotten everything; the API remembers."""
    bench.api.create(pod())
    await bench.until(lambda: ready(bench))
    await bench.kubelet.aclose()
    bench.runtime.sandboxes.clear()
    bench.runtime.containers.clear()
    await bench.again()
    await bench.until(lambda: state(bench)["restartCount"] == 1 and ready(bench))
    assert state(bench)["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"


async def test_a_new_image_restarts_the_container(bench: Bench) -> None:
    bench.images.present.add("busybox:2")
    bench.api.create(pod())
    await bench.until(lambda: ready(bench))
    bench.api.set_image(UID, "app", "busybox:2")
    await bench.until(lambda: state(bench)["restartCount"] == 1 and ready(bench))
    assert state(bench)["image"] == "busybox:2"
    await bench.quiet()
    assert "Container app definition changed, will be restarted" in bench.api.told("Killing")


async def test_an_image_that_cannot_be_pulled(bench: Bench) -> None:
    bench.images.absent_pulls["nosuch:1"] = Unavailable("registry says no", reason="ErrImagePull")
    bench.api.create(pod(container("bad", image="nosuch:1"), container("good")))
    await bench.until(lambda: waiting(bench) == "ErrImagePull" and "running" in state(bench, 1)["state"])
    assert state(bench)["state"]["waiting"]["message"] == "registry says no"
    assert bench.api.status(UID)["phase"] == "Pending"
    await bench.clock.advance(2)
    await bench.until(lambda: waiting(bench) == "ImagePullBackOff")
    assert state(bench)["state"]["waiting"]["message"].startswith('Back-off pulling image "nosuch:1"')
    await bench.clock.advance(9)
    await bench.until(lambda: waiting(bench) == "ErrImagePull")
    assert len(bench.images.pulls) == 2
    await bench.quiet()
    assert 'Failed to pull image "nosuch:1": registry says no' in bench.api.told("Failed")
    assert {"Error: ErrImagePull", "Error: ImagePullBackOff"} <= set(bench.api.told("Failed"))
    del bench.images.absent_pulls["nosuch:1"]
    await bench.clock.advance(2)
    await bench.until(lambda: waiting(bench) == "ImagePullBackOff")
    await bench.clock.advance(18)
    await bench.until(lambda: ready(bench))


async def test_an_image_that_must_be_here_and_is_not(bench: Bench) -> None:
    bench.api.create(pod(container(image="other:1", imagePullPolicy="Never")))
    await bench.until(lambda: waiting(bench) == "ErrImageNeverPull")
    assert bench.images.pulls == []


async def test_a_container_that_must_not_be_root(bench: Bench) -> None:
    bench.api.create(pod(container(securityContext={"runAsNonRoot": True})))
    await bench.until(lambda: waiting(bench) == "CreateContainerConfigError")
    text = f'container has runAsNonRoot and image will run as root (pod: "web_default({UID})", container: app)'
    assert state(bench)["state"]["waiting"]["message"] == text
    await bench.quiet()
    assert bench.api.told("Failed") == [f"Error: {text}"]
    bench.images.uid = 1000
    await bench.clock.advance(10)
    await bench.until(lambda: ready(bench))


async def test_a_command_that_is_not_there(bench: Bench) -> None:
    bench.runtime.fail_create["app"] = FailedPrecondition('exec: "nosuch": not found', reason="RunContainerError")
    bench.api.create(pod())
    await bench.until(lambda: waiting(bench) == "RunContainerError")
    assert state(bench)["restartCount"] == 0
    del bench.runtime.fail_create["app"]
    await bench.clock.advance(10)
    await bench.until(lambda: ready(bench))


async def test_a_command_that_is_not_there_fails_a_never_pod(bench: Bench) -> None:
    bench.runtime.fail_create["app"] = FailedPrecondition('exec: "nosuch": not found', reason="RunContainerError")
    bench.api.create(pod(restartPolicy="Never"))
    await bench.until(lambda: bench.api.status(UID)["phase"] == "Failed")
    ended = state(bench)["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert 'exec: "nosuch": not found' in ended["message"]


async def test_a_start_that_fails_backs_off(bench: Bench) -> None:
    bench.runtime.fail_start["app"] = FailedPrecondition("no such file", reason="RunContainerError")
    bench.api.create(pod())
    await bench.until(lambda: waiting(bench) == "CrashLoopBackOff")
    assert state(bench)["lastState"]["terminated"]["exitCode"] == 128


async def test_a_sandbox_that_cannot_be_made_is_tried_again(bench: Bench) -> None:
    bench.runtime.fail_sandbox = 2
    bench.api.create(pod())
    await bench.until(lambda: [each for each in bench.runtime.calls if each[0] == "run_pod_sandbox"])
    await bench.quiet()
    assert bench.api.told("FailedCreatePodSandBox") == ["Failed to create pod sandbox: no network"]
    assert waiting(bench) == "ContainerCreating"
    assert len([each for each in bench.runtime.calls if each[0] == "run_pod_sandbox"]) == 1
    await bench.clock.advance(1)
    await bench.quiet()
    await bench.clock.advance(2)
    await bench.until(lambda: ready(bench))


async def test_a_sandbox_that_fails_for_long_is_still_tried(bench: Bench) -> None:
    """Such as one whose host port another Pod holds for an hour."""
    bench.runtime.fail_sandbox = 12
    bench.api.create(pod())
    await bench.until(lambda: [each for each in bench.runtime.calls if each[0] == "run_pod_sandbox"])
    for _ in range(12):
        await bench.quiet()
        await bench.clock.advance(31)
    await bench.until(lambda: ready(bench))
    assert len([each for each in bench.runtime.calls if each[0] == "run_pod_sandbox"]) == 13


async def test_a_volume_that_cannot_be_mounted(bench: Bench) -> None:
    bench.api.create(pod(volumes=[{"name": "v", "hostPath": {"path": "/nonexistent/x", "type": "File"}}]))
    await bench.until(lambda: bench.api.told("FailedMount"))
    assert bench.api.told("FailedMount") == [
        'MountVolume.SetUp failed for volume "v" : hostPath type check failed: /nonexistent/x is not a file'
    ]
    assert bench.api.status(UID)["phase"] == "Pending"


async def test_the_node_is_registered(bench: Bench) -> None:
    node = bench.api.nodes["node"]
    ready_condition = next(each for each in node["status"]["conditions"] if each["type"] == "Ready")
    assert (ready_condition["status"], ready_condition["reason"]) == ("True", "KubeletReady")
    assert node["status"]["addresses"][0] == {"type": "InternalIP", "address": "192.0.2.10"}
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"] == "polong://0.1.0"
    assert int(node["status"]["capacity"]["cpu"]) >= 1


async def test_drained_waits_for_the_last_pod(bench: Bench) -> None:
    bench.api.create(pod())
    await bench.until(lambda: ready(bench))
    bench.api.delete(UID, 0)
    await bench.until(lambda: bench.api.deleted == [UID])
    await bench.quiet()
    assert await bench.kubelet.drained(1)


async def test_policy_always_works_without_a_registry(bench: Bench) -> None:
    bench.images.absent_pulls["busybox:1.28"] = Unavailable("cannot reach registry", reason="RegistryUnreachable")
    bench.api.create(pod(container("a", imagePullPolicy="Always"), container("b", imagePullPolicy="Always")))
    await bench.until(lambda: ready(bench))
    await bench.quiet()
    assert 'Container image "busybox:1.28" already present on machine, its registry cannot be reached' in bench.api.told("Pulled")
    assert not bench.api.told("Failed")
    assert len(bench.images.pulls) == 1
    bench.runtime.exit("a", 1)
    await bench.until(lambda: state(bench)["restartCount"] == 1 and ready(bench))
    assert len(bench.images.pulls) == 1


async def test_an_unreachable_registry_delays_no_second_pod_and_is_tried_again_later(bench: Bench) -> None:
    """What is remembered is the registry, not the image: the second image's Pod does not wait for the connection's deadline again."""
    refusal = Unavailable("cannot reach registry", reason="RegistryUnreachable")
    bench.images.present.add("other:1")
    bench.images.absent_pulls |= {"busybox:1.28": refusal, "other:1": refusal}
    bench.api.create(pod(container(imagePullPolicy="Always")))
    await bench.until(lambda: ready(bench))
    bench.api.set_image(UID, "app", "other:1")
    unreached = 'Container image "other:1" already present on machine, its registry cannot be reached'
    await bench.until(lambda: unreached in bench.api.told("Pulled"))
    assert bench.images.pulls == ["busybox:1.28"]
    bench.images.absent_pulls.clear()
    await bench.clock.advance(31)
    bench.api.set_image(UID, "app", "busybox:1.28")
    await bench.clock.advance(31)
    await bench.until(lambda: bench.images.pulls == ["busybox:1.28", "busybox:1.28"])


@pytest.mark.parametrize("reason", ["ErrImagePull", "RegistryUnavailable"])
async def test_policy_always_obeys_a_registry_that_answers(bench: Bench, reason: str) -> None:
    bench.images.absent_pulls["busybox:1.28"] = Unavailable("registry answered 503", reason=reason)
    bench.api.create(pod(container(imagePullPolicy="Always")))
    await bench.until(lambda: waiting(bench) == reason)


async def test_without_a_local_image_an_unreachable_registry_is_errimagepull(bench: Bench) -> None:
    bench.images.absent_pulls["absent:1"] = Unavailable("cannot reach registry", reason="RegistryUnreachable")
    bench.api.create(pod(container(image="absent:1", imagePullPolicy="Always")))
    await bench.until(lambda: waiting(bench) == "ErrImagePull")
    await bench.clock.advance(3)
    await bench.until(lambda: waiting(bench) == "ImagePullBackOff")


async def test_names_of_events_are_in_the_order_of_what_happened(bench: Bench) -> None:
    """Timestamps are whole seconds, and lists come in the order of names: so names must tell the order."""
    bench.api.create(pod())
    await bench.until(lambda: len(bench.api.told("Started")) == 1)
    mine = [each for each in bench.api.events if each["involvedObject"]["kind"] == "Pod"]
    assert [each["reason"] for each in sorted(mine, key=lambda each: each["metadata"]["name"])] == [
        "Scheduled",
        "Pulled",
        "Created",
        "Started",
    ]


async def test_a_crash_loop_keeps_its_pace_through_a_new_daemon(bench: Bench) -> None:
    bench.api.create(pod())
    await bench.until(lambda: ready(bench))
    bench.runtime.exit("app", 1)
    await bench.until(lambda: state(bench)["restartCount"] == 1 and ready(bench))
    bench.runtime.exit("app", 1)
    await bench.until(lambda: waiting(bench) == "CrashLoopBackOff")
    await bench.again()
    await bench.quiet()
    assert waiting(bench) == "CrashLoopBackOff"
    assert state(bench)["restartCount"] == 1
    await bench.clock.advance(10)
    await bench.until(lambda: state(bench)["restartCount"] == 2 and ready(bench))
