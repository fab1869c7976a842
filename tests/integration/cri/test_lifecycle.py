"""Start, stop, leftovers, orphans and death, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition
from polong.linux import proc

pytestmark = pytest.mark.root

IGNORES_TERM = ("sh", "-c", "trap '' TERM; echo ready; while true; do sleep 0.1; done")


def procs(node: Any, container: str) -> list[int]:
    return [pid for pid in node.groups.processes(node.engine.table.containers[container].record.cgroup) if proc.alive(pid)]


async def test_completed_error_and_log(node: Any) -> None:
    sandbox = await node.run()
    good = await node.started(sandbox, "sh", "-c", "echo out; echo err >&2")
    bad = await node.started(sandbox, "sh", "-c", "exit 3")
    status = await node.over(good)
    assert (status.exit_code, status.reason) == (0, "Completed")
    assert [line.split(" ", 3)[1:] for line in node.log(good).splitlines()] in (
        [["stdout", "F", "out"], ["stderr", "F", "err"]],
        [["stderr", "F", "err"], ["stdout", "F", "out"]],
    )
    status = await node.over(bad)
    assert (status.exit_code, status.reason) == (3, "Error")


@pytest.mark.parametrize(("mode", "code"), [(v1.POD, 143), (v1.CONTAINER, 137)])
@pytest.mark.behaviour("pid-stop/default-signals")
async def test_a_plain_sleep_dies_of_term_only_where_it_is_not_pid_one(node: Any, mode: int, code: int) -> None:
    sandbox = await node.run(pid=mode)
    container = await node.started(sandbox, "sleep", "1000")
    status = await node.stop(container, 1)
    assert (status.state, status.exit_code) == (v1.CONTAINER_EXITED, code)


async def test_what_ignores_term_is_killed_after_its_grace(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox, *IGNORES_TERM)
    await node.until(lambda: "ready" in node.log(container))
    status = await node.stop(container, 1)
    assert status.exit_code == 137
    assert 900_000_000 < status.finished_at - status.started_at < 4_000_000_000


@pytest.mark.parametrize("mode", [v1.POD, v1.NODE])
@pytest.mark.behaviour("pid-stop/leftovers")
async def test_leftovers_are_gone_before_the_exit_is_told(node: Any, mode: int) -> None:
    sandbox = await node.run(pid=mode)
    sibling = await node.started(sandbox, "sleep", "1000")
    container = await node.started(sandbox, "sh", "-c", "setsid sleep 4242 & echo started; exec sleep 2000")
    await node.until(lambda: len(procs(node, container)) == 2)
    cgroup = node.engine.table.containers[container].record.cgroup
    events = node.service.get_container_events(v1.GetEventsRequest())
    os.kill(node.pid(container), signal.SIGTERM)
    event = await anext(events)
    assert (event.container_id, event.container_event_type) == (container, v1.CONTAINER_STOPPED_EVENT)
    assert [pid for pid in node.groups.processes(cgroup) if proc.alive(pid)] == []
    assert (await node.status(container)).exit_code == 143
    assert (await node.status(sibling)).state == v1.CONTAINER_RUNNING
    assert (await node.sandbox_status(sandbox)).state == v1.SANDBOX_READY
    await events.aclose()


@pytest.mark.behaviour("pid-pause/reaps")
async def test_orphans_are_adopted_and_reaped_by_pause(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox, "sh", "-c", "(sleep 0.3 & sleep 0.3 &); exec sleep 1000")
    pause = node.pause(sandbox)
    children = Path(f"/proc/{pause}/task/{pause}/children")
    await node.until(lambda: len(children.read_text().split()) == 2)
    await node.until(lambda: children.read_text().split() == [])
    assert " Z" not in await node.output(container, "ps", "-o", "stat,args")


@pytest.mark.behaviour("pid-pause/signals")
async def test_hup_to_pid_one_harms_nothing(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox, "sleep", "1000")
    await node.output(container, "kill", "-HUP", "1")
    await node.output(container, "kill", "-KILL", "1")
    await asyncio.sleep(0.05)
    assert (await node.sandbox_status(sandbox)).state == v1.SANDBOX_READY


async def test_pause_that_is_killed_takes_a_shared_pod_along(node: Any) -> None:
    sandbox = await node.run()
    containers = [await node.started(sandbox, "sleep", "1000") for _ in range(2)]
    os.kill(node.pause(sandbox), signal.SIGKILL)
    for container in containers:
        assert (await node.over(container)).exit_code == 137
    assert (await node.sandbox_status(sandbox)).state == v1.SANDBOX_NOTREADY
    with pytest.raises(FailedPrecondition):
        await node.create(sandbox, "sleep", "1")


@pytest.mark.behaviour("pid-pause/signals", "pid-pause/term-kills-pod")
async def test_term_from_inside_ends_the_sandbox(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox, "sleep", "1000")
    result = await node.exec(container, "sh", "-c", "kill -TERM 1; sleep 5")
    assert result.exit_code == 137
    assert (await node.over(container)).exit_code == 137
    await node.until(lambda: not node.engine.table.sandboxes[sandbox].ready)


async def test_a_command_that_does_not_exist_says_so(node: Any) -> None:
    sandbox = await node.run()
    with pytest.raises(FailedPrecondition, match="nosuch") as error:
        await node.started(sandbox, "/bin/nosuch")
    assert error.value.reason == "RunContainerError"


async def test_a_conmon_that_is_killed_ends_its_container(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox, "sleep", "1000")
    os.kill(node.engine.table.containers[container].record.conmon_pid, signal.SIGKILL)
    status = await node.over(container)
    assert (status.exit_code, status.reason) == (255, "ContainerStatusUnknown")
    assert not proc.alive(node.pid(container))


async def test_user_environment_and_directory(node: Any) -> None:
    sandbox = await node.run()
    config = v1.LinuxContainerConfig()
    config.security_context.run_as_username = "worker"
    config.security_context.supplemental_groups.append(777)
    envs = [v1.KeyValue(key="A", value="b c")]
    script = "id -u; id -g; id -G; pwd; echo $HOME $A $FROM_IMAGE"
    container = await node.started(sandbox, "sh", "-c", script, linux=config, envs=envs, working_dir="/tmp")
    await node.over(container)
    lines = [line.split(" ", 3)[3] for line in node.log(container).splitlines()]
    assert lines == ["101", "102", "102 500 777", "/tmp", "/home/worker b c 1"]
    status = await node.status(container)
    assert (status.user.linux.uid, status.user.linux.gid) == (101, 102)


async def test_memory_limit_and_oom(node: Any) -> None:
    sandbox = await node.run()
    config = v1.LinuxContainerConfig(resources=v1.LinuxContainerResources(memory_limit_in_bytes=32 << 20))
    container = await node.started(sandbox, "sh", "-c", "exec dd if=/dev/zero of=/dev/null bs=200M count=1", linux=config)
    status = await node.over(container)
    assert (status.exit_code, status.reason) == (137, "OOMKilled")


async def test_two_created_side_by_side_and_removed(node: Any) -> None:
    sandbox = await node.run()
    one, two = await asyncio.gather(node.create(sandbox, "sleep", "1000"), node.create(sandbox, "sleep", "1000"))
    for container in (one, two):
        await node.service.start_container(v1.StartContainerRequest(container_id=container))
    await node.service.remove_pod_sandbox(v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox))
    await node.until(lambda: node.census() == [])


async def test_statistics(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox, "sh", "-c", "while true; do :; done")
    await node.until(lambda: node.engine.kernel.usage(node.engine.table.containers[container].record.cgroup).cpu > 1_000_000)
    stats = (await node.service.container_stats(v1.ContainerStatsRequest(container_id=container))).stats
    assert stats.memory.working_set_bytes.value > 0


async def test_the_filter_compiled_here_is_the_one_that_crun_compiles(node: Any) -> None:
    sandbox = await node.run()
    assert node.engine.takes_compiled_filters == {""}
    ours = await node.started(sandbox, "sleep", "1000")
    node.engine.takes_compiled_filters.clear()
    theirs = await node.started(sandbox, "sleep", "1000")
    state = node.directory / "run" / "runtime"
    assert (state / ours / "seccomp.bpf").read_bytes() == (state / theirs / "seccomp.bpf").read_bytes()
    for container in (ours, theirs):
        assert proc.status(node.pid(container)).seccomp == 2
        assert "Seccomp:\t2" in await node.output(container, "grep", "^Seccomp:", "/proc/self/status")


async def test_a_shared_pod_under_runc(runc_node: Any) -> None:
    node = runc_node
    sandbox = await node.run(network=v1.POD)
    one, two = await node.started(sandbox, "sleep", "1000"), await node.started(sandbox, "sleep", "1000")
    assert await node.output(one, "cat", "/proc/1/cmdline") == "/pause\0"
    assert proc.status(node.pid(one)).seccomp == proc.status(node.pause(sandbox)).seccomp == 2
    assert (await node.stop(one, 5)).exit_code == 143
    assert (await node.stop(two, 0)).exit_code == 137
