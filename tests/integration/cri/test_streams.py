"""exec, attach and port-forward on real processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import DeadlineExceeded, FailedPrecondition, Unavailable
from polong.kit.stdio import Pipe, Stdio, TerminalSize
from polong.kit.tasks import Tasks
from polong.linux import proc

pytestmark = pytest.mark.root


async def read_until(pipe: Pipe, text: bytes) -> bytes:
    seen = b""
    async with asyncio.timeout(10):
        while text not in seen:
            data = await pipe.read()
            assert data, seen
            seen += data
    return seen


async def test_exec_sync(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox, "sleep", "1000")
    result = await node.exec(container, "sh", "-c", "echo out; echo err >&2; exit 4")
    assert (result.exit_code, result.stdout, result.stderr) == (4, b"out\n", b"err\n")
    with pytest.raises(FailedPrecondition, match="nosuch"):
        await node.exec(container, "/bin/nosuch")


async def sees_its_size(node: Any, *command: str) -> None:
    container = await node.started(await node.run(), "sleep", "1000")

    async def sizes() -> AsyncIterator[TerminalSize]:
        # As over a network: after the request, in a message of its own.
        await asyncio.sleep(0.02)
        yield TerminalSize(117, 43)

    for _ in range(10):
        output = Pipe()
        asked = v1.ExecRequest(container_id=container, cmd=command, tty=True, stdout=True)
        assert await node.service.exec(asked, Stdio(stdout=output, resize=sizes(), tty=True)) == 0
        assert await output.read() == b"43 117\r\n"


async def test_a_short_command_sees_the_size_of_its_terminal(node: Any) -> None:
    """crun 1.8 can be told the size only once it has opened the terminal: a shell between them takes the millisecond that it needs."""
    await sees_its_size(node, "sh", "-c", "busybox stty size; true")


async def test_under_runc_even_the_shortest_command_sees_it(runc_node: Any) -> None:
    await sees_its_size(runc_node, "busybox", "stty", "size")


async def test_exec_sync_that_is_late_is_killed(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox, "sleep", "1000")
    with pytest.raises(DeadlineExceeded, match="timed out"):
        await node.exec(container, "sleep", "4321", timeout=1)
    await node.until(lambda: not any(proc.alive(pid) and "4321" in proc.command(pid) for pid in living(node, container)))


def living(node: Any, container: str) -> list[int]:
    return [pid for pid in node.groups.processes(node.engine.table.containers[container].record.cgroup) if proc.alive(pid)]


@pytest.mark.behaviour("pid-stop/exec-joins")
async def test_a_child_in_the_background_does_not_hold_a_probe_up_and_dies_with_its_container(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox, "sleep", "1000")
    start = asyncio.get_running_loop().time()
    result = await node.exec(container, "sh", "-c", "sleep 999 & echo ok")
    assert result.stdout == b"ok\n"
    assert asyncio.get_running_loop().time() - start < 4
    assert len(living(node, container)) == 2
    cgroup = node.engine.table.containers[container].record.cgroup
    await node.stop(container, 5)
    assert not any(proc.alive(pid) for pid in node.groups.processes(cgroup))


async def test_endless_output_is_bounded(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox, "sleep", "1000")
    result = await node.exec(container, "sh", "-c", "dd if=/dev/zero bs=1M count=32 2>/dev/null")
    assert len(result.stdout) == 8 << 20


async def test_exec_with_streams(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox, "sleep", "1000")
    stdin, stdout, stderr = Pipe(), Pipe(), Pipe()
    tasks = Tasks("test")
    request = v1.ExecRequest(container_id=container, cmd=["sh", "-c", "cat; echo end >&2; exit 5"], stdin=True, stdout=True, stderr=True)
    call = tasks.start(node.service.exec(request, Stdio(stdin, stdout, stderr)), "exec")
    await stdin.write(b"hello\n")
    await read_until(stdout, b"hello\n")
    await stdin.close()
    assert await call == 5
    assert await stderr.read() == b"end\n"
    await tasks.aclose()


async def test_exec_with_a_terminal(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox, "sleep", "1000")
    stdin, stdout = Pipe(), Pipe()
    tasks = Tasks("test")
    request = v1.ExecRequest(container_id=container, cmd=["sh"], stdin=True, stdout=True, tty=True)
    call = tasks.start(node.service.exec(request, Stdio(stdin, stdout, tty=True)), "exec")
    await stdin.write(b"echo $((6*7))x; exit 9\n")
    await read_until(stdout, b"42x")
    assert await call == 9
    await tasks.aclose()


async def test_a_client_that_leaves_leaves_nothing_behind(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox, "sleep", "1000")
    for _ in range(10):
        tasks = Tasks("test")
        request = v1.ExecRequest(container_id=container, cmd=["cat"], stdin=True, stdout=True)
        _ = tasks.start(node.service.exec(request, Stdio(Pipe(), Pipe())), "exec")
        await node.until(lambda: len(living(node, container)) == 2)
        await tasks.aclose()
        await node.until(lambda: len(living(node, container)) == 1)


async def test_attach(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox, "sh", "-c", "read line; echo got $line; exit 2", stdin=True)
    stdin, stdout = Pipe(), Pipe()
    tasks = Tasks("test")
    request = v1.AttachRequest(container_id=container, stdin=True, stdout=True)
    call = tasks.start(node.service.attach(request, Stdio(stdin, stdout)), "attach")
    await stdin.write(b"word\n")
    await read_until(stdout, b"got word\n")
    await call
    assert (await node.over(container)).exit_code == 2
    await tasks.aclose()


async def test_attach_to_a_terminal(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox, "sh", stdin=True, tty=True)
    stdin, stdout = Pipe(), Pipe()
    tasks = Tasks("test")
    request = v1.AttachRequest(container_id=container, stdin=True, stdout=True, tty=True)
    call = tasks.start(node.service.attach(request, Stdio(stdin, stdout, tty=True)), "attach")
    await stdin.write(b"ps -o pid,args; echo do''ne\n")
    seen = await read_until(stdout, b"done")
    assert b"1 /pause" in seen
    await stdin.write(b"exit 6\n")
    await call
    assert (await node.over(container)).exit_code == 6
    await tasks.aclose()


@pytest.mark.parametrize("network", [v1.POD, v1.NODE])
async def test_port_forward(node: Any, network: int) -> None:
    sandbox = await node.run(network=network)
    port = 18080 + node.count if network == v1.POD else 28000 + int(node.node_id[:3], 16)
    server = f"while true; do echo answer | nc -l -p {port}; done"
    container = await node.started(sandbox, "sh", "-c", server)
    stdin, stdout = Pipe(), Pipe()
    await stdin.write(b"question\n")
    await stdin.close()
    async with asyncio.timeout(10):
        while True:
            try:
                await node.service.port_forward(sandbox, port, Stdio(stdin, stdout))
                break
            except Unavailable:
                await asyncio.sleep(0.02)
    assert await stdout.read() == b"answer\n"
    await node.stop(container, 0)
    with pytest.raises(Unavailable, match=f"port {port}"):
        await node.service.port_forward(sandbox, port, Stdio(stdout=Pipe()))


async def test_the_log_is_reopened(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox, "sh", "-c", "while true; do echo tick; sleep 0.05; done")
    log = node.engine.table.containers[container].record.log_path
    await node.until(lambda: "tick" in node.log(container))
    from pathlib import Path

    Path(log).rename(f"{log}.1")
    await node.service.reopen_container_log(v1.ReopenContainerLogRequest(container_id=container))
    await node.until(lambda: Path(log).exists() and "tick" in node.log(container))
