"""SIGKILL of the daemon at chosen steps of a Pod's life: the next one finds or undoes everything."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.linux import proc

pytestmark = pytest.mark.root

# Spread over the whole life; all of them were run one by one when this was written.
_FATAL = (1, 4, 7, 10, 14, 19, 23, 28, 34, 36, 38, 40, 45, 51)
# The same life with users of the Pod's own, a volume filled by an image and one with mapped owners.
_FATAL_USERS = (4, 5, 7, 13, 17, 19, 21, 24, 38, 48)


@pytest.fixture
def life(node: Any):
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("life.py")), str(Path(__file__).with_name("conftest.py"))],
        # Not among the arguments: the census looks for them.
        cwd=node.directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout.readline() == "ready\n"
        yield child
        child.stdin.close()


@pytest.mark.parametrize(("name", "steps"), [("crash", _FATAL), ("crash-users", _FATAL_USERS)], ids=["plain", "users"])
async def test_killed_at_any_step_it_leaves_nothing_that_is_not_found_again(
    node: Any, life: Any, name: str, steps: tuple[int, ...]
) -> None:
    await kill_at(node, life, name, steps)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["crash", "crash-users"])
async def test_killed_at_each_step(node: Any, life: Any, name: str) -> None:
    lived = await kill_at(node, life, name, itertools.count(1))
    # As many as that life has, and no fewer than the chosen ones above.
    assert lived > max(_FATAL)


async def kill_at(node: Any, life: Any, name: str, steps: Iterable[int]) -> int:
    """The first of the steps that such a life does not have, 0 where it has them all."""
    bystander = await node.started(await node.run("bystander"), "sleep", "1000")
    pid = node.pid(bystander)
    for fatal in steps:
        await node.service.aclose()
        life.stdin.write(f"{fatal} {name}\n")
        life.stdin.flush()
        outcome = await asyncio.to_thread(life.stdout.readline)
        if outcome.startswith("lived") and isinstance(steps, itertools.count):
            node.service = node._build()
            await node.service.start()
            return fatal
        assert outcome == "killed\n", (fatal, outcome)
        node.service = node._build()
        await node.service.start()
        await check(node, fatal)
        assert node.pid(bystander) == pid
        assert proc.alive(pid)
        # The same request again, by a caller that never heard of an answer; then everything goes.
        crashed = [each.id for each in node.engine.table.sandboxes.values() if each.config.metadata.name == name]
        for sandbox in crashed:
            await node.service.remove_pod_sandbox(v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox))
        again = await node.run(name, network=v1.POD)
        await node.service.remove_pod_sandbox(v1.RemovePodSandboxRequest(pod_sandbox_id=again))
        keep = {bystander, node.engine.table.containers[bystander].record.sandbox_id}
        await node.until(lambda keep=keep: not [each for each in node.census() if not any(word in each for word in keep)])
        assert not list((node.directory / "network" / "attachments").glob("*"))
    return 0


async def check(node: Any, fatal: int) -> None:
    """What the kernel and the disk hold is what the tables say."""
    table = node.engine.table
    bundles = {entry.name for entry in (node.directory / "run" / "bundles").iterdir()}
    rootfs = {entry.name for entry in (node.directory / "images" / "rootfs").iterdir()}
    # Of one that was being removed a part may be gone; its record lets the next try finish.
    assert bundles | rootfs <= set(table.containers), fatal
    assert {each.id for each in table.containers.values() if each.state != v1.CONTAINER_EXITED} <= bundles & rootfs, fatal
    for container in table.containers.values():
        status = await node.status(container.id)
        running = status.state == v1.CONTAINER_RUNNING
        assert not running or proc.alive(container.record.pid), fatal
        assert running or status.state == v1.CONTAINER_CREATED or not node.groups.processes(container.record.cgroup), fatal
    pins = {entry.name for entry in (node.directory / "run-network" / "netns").glob("*")}
    assert pins <= set(table.sandboxes), fatal
    leases = list((node.directory / "network").glob("ipam/**/*.*.*.*"))
    assert len(leases) <= len(pins), fatal
