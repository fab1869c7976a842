from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from polong.criapi.wire import v1


async def stop(node: Any, container: str, timeout: int) -> None:
    await node.service.stop_container(v1.StopContainerRequest(container_id=container, timeout=timeout))


def stubborn(node: Any, container: str) -> Any:
    main = node.world.processes[node.world.mains[container]]
    main.dies_of = {signal.SIGKILL}
    return main


async def test_the_stop_signal_goes_to_the_main_process(node: Any) -> None:
    container = await node.started(await node.run())
    main = node.world.processes[node.world.mains[container]]
    await stop(node, container, 30)
    assert main.signals == [signal.SIGTERM]
    status = await node.status(container)
    assert (status.state, status.exit_code, status.reason) == (v1.CONTAINER_EXITED, 143, "Error")
    await stop(node, container, 30)


async def test_no_grace_kills_at_once(node: Any) -> None:
    container = await node.started(await node.run())
    await stop(node, container, 0)
    assert signal.SIGTERM not in node.world.processes[node.world.mains[container]].signals
    assert (await node.status(container)).exit_code == 137


async def test_after_the_grace_everything_in_the_cgroup_is_killed(node: Any) -> None:
    container = await node.started(await node.run())
    main = stubborn(node, container)
    await stop(node, container, 1)
    assert main.signals[0] == signal.SIGTERM
    assert (await node.status(container)).exit_code == 137
    assert any(call.startswith("kill_cgroup") for call in node.world.calls)


async def test_a_second_stop_with_less_grace_shortens_the_wait_and_signals_again(node: Any) -> None:
    container = await node.started(await node.run())
    main = stubborn(node, container)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(stop(node, container, 999))
        await node.until(lambda: signal.SIGTERM in main.signals)
        group.create_task(stop(node, container, 1))
    assert main.signals.count(signal.SIGTERM) == 2


async def test_a_created_container_that_never_ran_can_be_stopped(node: Any) -> None:
    container = await node.create(await node.run())
    await stop(node, container, 30)
    assert (await node.status(container)).state == v1.CONTAINER_EXITED


async def test_the_images_signal_is_used(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    node.images.image = replace(node.images.image, config=replace(node.images.image.config, stop_signal="SIGQUIT"))
    container = await node.started(await node.run())
    main = stubborn(node, container)
    main.dies_of = {signal.SIGQUIT}
    await stop(node, container, 30)
    assert main.signals == [signal.SIGQUIT]


async def test_what_is_not_known_is_stopped(node: Any) -> None:
    await stop(node, "0" * 64, 0)


async def test_a_host_process_is_signalled_without_the_runtime(node: Any) -> None:
    container = await node.started(await node.run())
    node.engine.runs_host_processes.add("")
    await stop(node, container, 30)
    assert not any(call.startswith("kill-") for call in node.world.calls)
    assert (await node.status(container)).exit_code == 143
