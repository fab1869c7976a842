"""The daemon goes, the Pods stay; the next one finds everything."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.linux import proc

pytestmark = pytest.mark.root


async def test_a_new_service_adopts_what_runs(node: Any) -> None:
    sandbox = await node.run(network=v1.POD)
    container = await node.started(sandbox, "sh", "-c", "while true; do echo tick; sleep 0.05; done")
    before = (await node.sandbox_status(sandbox), await node.status(container), node.pid(container), node.pause(sandbox))
    await node.restart()
    assert (await node.sandbox_status(sandbox), await node.status(container), node.pid(container), node.pause(sandbox)) == before
    assert await node.output(container, "cat", "/proc/1/cmdline") == "/pause\0"
    assert (await node.stop(container, 5)).exit_code == 143
    os.kill(node.pause(sandbox), signal.SIGKILL)
    await node.until(lambda: not node.engine.table.sandboxes[sandbox].ready)


async def test_exits_of_the_meantime_are_found_with_their_codes(node: Any) -> None:
    sandbox = await node.run()
    exiting = await node.started(sandbox, "sh", "-c", "read x; setsid sleep 777 & exit 7", stdin=True)
    await node.service.aclose()
    os.kill(node.pid(exiting), signal.SIGTERM)
    await asyncio.sleep(0.1)
    node.service = node._build()
    await node.service.start()
    status = await node.status(exiting)
    assert (status.state, status.exit_code, status.reason) == (v1.CONTAINER_EXITED, 143, "Error")


async def test_a_reboot_leaves_nothing_ready(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = await node.run(network=v1.POD)
    container = await node.started(sandbox, "sleep", "1000")
    await node.service.aclose()
    os.kill(node.pause(sandbox), signal.SIGKILL)
    await node.until(lambda: not proc.alive(node.pid(container)))
    monkeypatch.setattr("polong.cri.host.HostKernel.boot_id", lambda self: "another")
    node.service = node._build()
    await node.service.start()
    assert (await node.sandbox_status(sandbox)).state == v1.SANDBOX_NOTREADY
    assert (await node.status(container)).reason == "ContainerStatusUnknown"


_CHILD = """
import asyncio, importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("conftest_cri", sys.argv[1])
conftest = importlib.util.module_from_spec(spec)
sys.modules["conftest_cri"] = conftest
spec.loader.exec_module(conftest)

async def main():
    node = conftest.Node(Path(sys.argv[2]))
    await node.start()
    sandbox = await node.run("crash", network=conftest.v1.POD)
    running = await node.started(sandbox, "sleep", "1000")
    created = await node.create(sandbox, "sleep", "1000")
    print(sandbox, running, created, node.pid(running), flush=True)
    for number in range(1000):
        await node.create(sandbox, "sleep", "1000", name=f"more-{number}")

asyncio.run(main())
"""


async def test_sigkill_in_the_middle_of_work_loses_nothing_and_leaves_nothing(node: Any) -> None:
    await node.service.aclose()
    command = [sys.executable, "-c", _CHILD, str(Path(__file__).with_name("conftest.py")), str(node.directory)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    try:
        line = await asyncio.to_thread(child.stdout.readline)
        sandbox, running, created, pid = line.split()
        # In the midst of making one more container, wherever that is.
        await asyncio.sleep(0.13)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    node.service = node._build()
    await node.service.start()
    assert node.pid(running) == int(pid)
    assert proc.alive(int(pid))
    assert (await node.sandbox_status(sandbox)).state == v1.SANDBOX_READY
    assert (await node.status(created)).state == v1.CONTAINER_CREATED
    await node.service.start_container(v1.StartContainerRequest(container_id=created))
    assert (await node.stop(created, 5)).exit_code == 143
    known = set(node.engine.table.containers)
    bundles = {entry.name for entry in (node.directory / "run" / "bundles").iterdir()}
    rootfs = {entry.name for entry in (node.directory / "images" / "rootfs").iterdir()}
    assert bundles == rootfs == known
    info = (await node.service.container_status(v1.ContainerStatusRequest(container_id=running, verbose=True))).info["info"]
    assert json.loads(info)["pid"] == int(pid)
