"""Who shares which namespaces, read from the kernel (behaviour of KEP-495)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import NotFound, PolongError
from polong.linux import proc

pytestmark = pytest.mark.root
HOST = os.getpid()


def ns(pid: int, kind: str = "pid") -> str:
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


@pytest.mark.behaviour("pid-cri/pod")
async def test_shared(node: Any) -> None:
    sandbox = await node.run(pid=v1.POD)
    one, two = await node.started(sandbox, "sleep", "1000"), await node.started(sandbox, "sleep", "2000")
    for kind in ("pid", "ipc", "uts", "net"):
        assert ns(node.pid(one), kind) == ns(node.pid(two), kind) == ns(node.pause(sandbox), kind)
    assert ns(node.pid(one)) != ns(HOST)
    assert ns(node.pid(one), "mnt") != ns(node.pid(two), "mnt")
    assert await node.output(one, "cat", "/proc/1/cmdline") == "/pause\0"
    seen = await node.output(one, "ps", "-o", "pid,args")
    assert "sleep 2000" in seen
    assert "1 /pause" in seen
    assert await node.output(one, "ls", "/proc/1/root/") is not None
    file = await node.output(two, "sh", "-c", 'for p in /proc/[0-9]*; do [ "$(cat $p/comm)" = sleep ] && cat $p/root/etc/group; done; true')
    assert "worker" in file


@pytest.mark.behaviour("pid-cri/critest")
async def test_isolated(node: Any) -> None:
    sandbox = await node.run(pid=v1.CONTAINER)
    one, two = await node.started(sandbox, "sleep", "1000"), await node.started(sandbox, "sleep", "2000")
    assert len({ns(node.pid(one)), ns(node.pid(two)), ns(node.pause(sandbox)), ns(HOST)}) == 4
    assert await node.output(one, "cat", "/proc/1/cmdline") == "sleep\x001000\0"
    assert "sleep 2000" not in await node.output(one, "ps", "-o", "pid,args")


@pytest.mark.behaviour("pid-cri/critest")
async def test_host(node: Any) -> None:
    sandbox = await node.run(pid=v1.NODE)
    container = await node.started(sandbox, "sleep", "1000")
    assert ns(node.pid(container)) == ns(HOST)
    assert ns(node.pid(container), "net") == ns(HOST, "net")
    assert ns(node.pid(container), "ipc") != ns(HOST, "ipc")


@pytest.mark.behaviour("pid-cri/target")
async def test_target(node: Any) -> None:
    sandbox = await node.run(pid=v1.CONTAINER)
    app = await node.started(sandbox, "sleep", "1000")
    config = v1.LinuxContainerConfig()
    options = config.security_context.namespace_options
    options.pid, options.network, options.target_id = v1.TARGET, v1.NODE, app
    debugger = await node.started(sandbox, "sleep", "2000", linux=config)
    assert ns(node.pid(debugger)) == ns(node.pid(app))
    assert await node.output(debugger, "cat", "/proc/1/cmdline") == "sleep\x001000\0"
    await node.stop(app, 0)
    assert (await node.over(debugger)).exit_code == 137


async def test_the_pods_own_network_and_name(node: Any) -> None:
    sandbox = await node.run("named", network=v1.POD)
    container = await node.started(sandbox, "sleep", "1000")
    assert ns(node.pid(container), "net") == ns(node.pause(sandbox), "net") != ns(HOST, "net")
    assert await node.output(container, "hostname") == "named\n"
    assert await node.output(container, "cat", "/etc/hostname") == "named\n"
    assert (await node.sandbox_status(sandbox)).network.ip.startswith("10.")


async def test_shared_memory_is_the_pods(node: Any) -> None:
    sandbox = await node.run()
    one, two = await node.started(sandbox, "sleep", "1000"), await node.started(sandbox, "sleep", "1000")
    await node.output(one, "sh", "-c", "echo hello > /dev/shm/x")
    assert await node.output(two, "cat", "/dev/shm/x") == "hello\n"


@pytest.mark.behaviour("pid-cri/default-pod", "pid-cri/status-options")
async def test_what_is_not_said_is_shared_and_the_status_says_so(node: Any) -> None:
    config = v1.PodSandboxConfig(metadata=v1.PodSandboxMetadata(name="unsaid", uid="unsaid", namespace="default"))
    config.linux.security_context.namespace_options.network = v1.NODE
    sandbox = (await node.service.run_pod_sandbox(v1.RunPodSandboxRequest(config=config))).pod_sandbox_id
    one, two = await node.started(sandbox, "sleep", "1000"), await node.started(sandbox, "sleep", "2000")
    assert ns(node.pid(one)) == ns(node.pid(two)) == ns(node.pause(sandbox))
    for mode in (v1.POD, v1.CONTAINER, v1.NODE):
        status = await node.sandbox_status(await node.run(pid=mode))
        assert (status.linux.namespaces.options.pid, status.linux.namespaces.options.network) == (mode, v1.NODE)


@pytest.mark.behaviour("pid-cri/target-sandbox", "pid-cri/target", "pid-cri/target-errors")
async def test_a_target_is_a_running_container_of_the_same_sandbox(node: Any) -> None:
    with pytest.raises(PolongError):
        await node.run(pid=v1.TARGET)
    sandbox, other = await node.run(pid=v1.CONTAINER), await node.run(pid=v1.CONTAINER)
    stranger, ended = await node.started(other, "sleep", "1000"), await node.started(sandbox, "true")
    await node.over(ended)
    wrong = {stranger: "does not belong to sandbox", ended: "is not running", sandbox: "does not exist", "f" * 64: "does not exist"}
    for target, words in wrong.items():
        config = v1.LinuxContainerConfig()
        options = config.security_context.namespace_options
        options.pid, options.network, options.target_id = v1.TARGET, v1.NODE, target
        with pytest.raises(PolongError, match=words):
            await node.create(sandbox, "sleep", "1000", linux=config)


@pytest.mark.behaviour("pid-cri/stop-idempotent")
async def test_stop_and_remove_may_be_said_twice_and_need_no_order(node: Any) -> None:
    sandbox = await node.run(pid=v1.POD)
    container = await node.started(sandbox, "sleep", "1000")
    pid = node.pid(container)
    for _ in range(2):
        await node.service.stop_pod_sandbox(v1.StopPodSandboxRequest(pod_sandbox_id=sandbox))
    assert not proc.alive(pid)
    for _ in range(2):
        await node.service.remove_pod_sandbox(v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox))
        await node.service.remove_container(v1.RemoveContainerRequest(container_id=container))
        await node.service.stop_container(v1.StopContainerRequest(container_id=container))
    with pytest.raises(NotFound):
        await node.status(container)
    with pytest.raises(NotFound):
        await node.sandbox_status(sandbox)
