"""Lifecycle and the shared process namespace, with crun and runc, on the real kernel."""

import asyncio
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from polong.kit.errors import FailedPrecondition
from polong.linux import namespaces, pidfd, proc
from polong.oci import bundle
from polong.oci.launch import BINARIES
from polong.oci.spec.model import NODE, Namespaces, Resources

pytestmark = pytest.mark.root


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.005)


def shared(pause: int) -> Namespaces:
    return Namespaces(pid=f"/proc/{pause}/ns/pid", ipc=f"/proc/{pause}/ns/ipc", uts=f"/proc/{pause}/ns/uts", network=NODE)


async def test_pause_is_pid_1_named_pause_and_ends_on_term(node):
    sandbox, pid = await node.sandbox()
    await until(lambda: proc.command(pid) == ("/pause",) and proc.status(pid).name == "pause")
    assert proc.status(pid).ns_pids[-1] == 1
    assert (await node.runtime.state(sandbox))["status"] == "running"
    await node.runtime.kill(sandbox, signal.SIGHUP)
    await node.runtime.kill(sandbox, signal.SIGUSR1)
    assert proc.alive(pid)
    await node.runtime.kill(sandbox, signal.SIGTERM)
    await asyncio.wait_for(pidfd.wait(pid), 10)
    await node.runtime.kill(sandbox, signal.SIGTERM)
    await node.runtime.delete(sandbox)
    await node.runtime.delete(sandbox)
    assert await node.runtime.state(sandbox) is None
    assert not node.groups.exists(node.cgroup_of(sandbox))


@pytest.mark.behaviour("pid-pause/version", "pid-pause/signals")
def test_pause_by_itself():
    """Its version, its warning when it is not the first process, and its end by SIGTERM or SIGINT with 0."""
    told = subprocess.run([BINARIES / "pause", "-v"], capture_output=True, text=True, timeout=10, check=True)
    assert re.fullmatch(r"pause \S+\n", told.stdout)
    for number, word in ((signal.SIGTERM, "Terminated"), (signal.SIGINT, "Interrupt")):
        with subprocess.Popen([BINARIES / "pause"], stderr=subprocess.PIPE, text=True) as pause:
            assert "should be the first process" in pause.stderr.readline()
            while int(proc_status(pause.pid, "SigCgt"), 16) & 1 << (number - 1) == 0:
                assert pause.poll() is None
            pause.send_signal(number)
            assert pause.stderr.readline() == f"Shutting down, got signal: {word}\n"
            assert pause.wait(10) == 0


def proc_status(pid, name):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


async def test_two_containers_see_each_other_through_pause(node):
    _, pause = await node.sandbox()
    first, a = await node.container("/bin/sleep", "1000", namespaces=shared(pause))
    _, b = await node.container("/bin/sh", "-c", "while :; do /bin/sleep 1; done", namespaces=shared(pause))
    assert namespaces.of_process(a, "pid") == namespaces.of_process(b, "pid") == namespaces.of_process(pause, "pid")
    assert namespaces.of_process(a, "mnt") != namespaces.of_process(b, "mnt")
    assert proc.status(a).ns_pids[-1] != 1
    exec_ = await node.runtime.exec(first, node.document(first, "/bin/ps", "-o", "pid,args"), stdin=False, cgroup=node.cgroup_of(first))
    text = (await _all(exec_.stdout)).decode()
    assert await exec_.wait() == 0
    await exec_.aclose()
    lines = [line.split(None, 1) for line in text.splitlines()[1:]]
    assert lines[0] == ["1", "/pause"]
    assert {"/bin/sleep 1000", "/bin/sh -c while :; do /bin/sleep 1; done"} <= {line[1].strip() for line in lines if len(line) > 1}


async def test_leftovers_die_by_cgroup_while_siblings_and_pause_live(node):
    _, pause = await node.sandbox()
    victim, main = await node.container(
        "/bin/sh", "-c", "/bin/sleep 1000 & (/bin/sleep 1001 &) ; exec /bin/sleep 1002", namespaces=shared(pause)
    )
    _, sibling = await node.container("/bin/sleep", "1000", namespaces=shared(pause))
    await until(lambda: len(node.groups.processes(node.cgroup_of(victim))) == 3)
    await node.runtime.kill(victim, signal.SIGTERM)
    await asyncio.wait_for(pidfd.wait(main), 10)
    left = node.groups.processes(node.cgroup_of(victim))
    assert left
    assert main not in left
    await node.groups.kill(node.cgroup_of(victim))
    assert not [pid for pid in left if proc.alive(pid)]
    assert proc.alive(sibling)
    assert proc.alive(pause)
    await until(lambda: node.conmon.exit_code(victim) == 143)
    # Orphans were adopted by pause, and reaped by it: no zombie stays in the namespace.
    await until(lambda: not [pid for pid in left if proc.start_time(pid) is not None])


async def test_an_orphan_is_reaped_by_pause(node):
    _, pause = await node.sandbox()
    _, main = await node.container("/bin/sh", "-c", "(/bin/sleep 1 &); exec /bin/sleep 1000", namespaces=shared(pause))

    def orphans() -> list[int]:
        return [pid for pid in proc.pids() if (found := _stat(pid)) is not None and found.ppid == pause]

    await until(orphans)
    await until(lambda: not orphans())
    assert proc.alive(main)


def _stat(pid: int) -> proc.Stat | None:
    try:
        return proc.stat(pid)
    except ProcessLookupError:
        return None


async def test_every_process_is_born_in_the_containers_cgroup(node):
    container, main = await node.container("/bin/sleep", "1000")
    exec_ = await node.runtime.exec(container, node.document(container, "/bin/sleep", "999"), stdin=False, cgroup=node.cgroup_of(container))
    for pid in (main, exec_.pid):
        paths = proc.cgroups(pid)
        assert paths["memory" if node.groups.layout.controllers else ""] == node.cgroup_of(container)
        if node.groups.layout.unified is not None:
            assert paths[""] == node.cgroup_of(container)
    # The runtime tells the pid just before it executes the command.
    await until(lambda: proc.command(exec_.pid) == ("/bin/sleep", "999"))
    await node.groups.kill(node.cgroup_of(container))
    assert await asyncio.wait_for(exec_.wait(), 10) == 137
    await exec_.aclose()
    await until(lambda: node.conmon.exit_code(container) == 137)


async def test_limits_and_their_update_reach_the_kernel(node):
    container, _ = await node.container("/bin/sleep", "1000", resources=Resources(memory=64 << 20, pids=50, cpu_shares=100))
    memory = node.groups.layout.controllers.get("memory", node.groups.layout.unified)
    file = "memory.limit_in_bytes" if node.groups.layout.controllers else "memory.max"
    limit = memory / node.cgroup_of(container).lstrip("/") / file
    assert int(limit.read_text()) == 64 << 20
    await node.runtime.update(container, {"memory": {"limit": 96 << 20}})
    assert int(limit.read_text()) == 96 << 20
    stats = node.groups.stats(node.cgroup_of(container))
    assert stats is not None
    assert stats.pids == 1
    assert stats.memory > 0


async def test_missing_command_is_one_line_and_leaves_nothing(node):
    container, cgroup, directory = node.new()
    bundle.write(directory, node.config("/bin/nonexistent", cgroup=cgroup))

    async def create_and_start() -> None:
        # crun looks for the file at create, runc at start.
        await node.runtime.create(container, directory)
        await node.runtime.start(container)

    with pytest.raises(FailedPrecondition, match="nonexistent") as caught:
        await create_and_start()
    assert "\n" not in caught.value.message
    assert caught.value.reason == "RunContainerError"
    await node.runtime.delete(container, force=True)
    assert await node.runtime.state(container) is None
    assert not node.groups.exists(cgroup)


async def test_state_wiped_behind_our_back_is_still_cleaned(node):
    container, main = await node.container("/bin/sleep", "1000")
    shutil.rmtree(node.launcher.root / container)
    assert await node.runtime.state(container) is None
    await node.runtime.delete(container, force=True)
    assert not proc.alive(main)
    assert not node.groups.exists(node.cgroup_of(container))


async def test_version(node):
    name, version = await node.runtime.version()
    assert name == node.launcher.name
    assert version[0].isdigit()


async def _all(stream) -> bytes:
    data = b""
    while chunk := await stream.read():
        data += chunk
    return data


def test_scratch_is_private(node):
    for path in (node.launcher.root, node.launcher.records, Path(node.directory / "run/exec")):
        assert path.stat().st_mode & 0o777 == 0o700
