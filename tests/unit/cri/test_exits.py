from __future__ import annotations

from typing import Any

import pytest

from polong.criapi.wire import v1


async def test_completed_and_error(node: Any) -> None:
    sandbox = await node.run()
    good, bad = await node.started(sandbox, "good"), await node.started(sandbox, "bad")
    node.world.end(good, 0)
    node.world.end(bad, 3)
    status = await node.over(good)
    assert (status.state, status.exit_code, status.reason) == (v1.CONTAINER_EXITED, 0, "Completed")
    assert status.finished_at > status.started_at
    status = await node.over(bad)
    assert (status.exit_code, status.reason) == (3, "Error")
    assert (await node.sandbox_status(sandbox)).state == v1.SANDBOX_READY


@pytest.mark.parametrize("mode", [v1.POD, v1.NODE])
async def test_in_a_shared_namespace_leftovers_are_killed_before_the_exit_is_published(node: Any, mode: int) -> None:
    sandbox = await node.run(pid=mode)
    container, sibling = await node.started(sandbox, "c", pid=mode), await node.started(sandbox, "sibling", pid=mode)
    cgroup = node.engine.table.containers[container].record.cgroup
    leftover = node.world.spawn(cgroup)
    events = node.service.get_container_events(v1.GetEventsRequest())
    node.world.end(container, 0)
    event = await anext(events)
    assert event.container_event_type == v1.CONTAINER_STOPPED_EVENT
    assert not leftover.alive
    assert node.engine.table.sandboxes[sandbox].pause.alive
    assert (await node.status(sibling)).state == v1.CONTAINER_RUNNING
    await events.aclose()


async def test_a_dying_pause_is_told_before_the_containers_that_it_takes_along(node: Any) -> None:
    sandbox = await node.run(pid=v1.POD)
    container = await node.started(sandbox, "c", pid=v1.POD)
    events = node.service.get_container_events(v1.GetEventsRequest())
    node.engine.table.sandboxes[sandbox].pause.exiting = True
    node.world.end(container, 137)
    told = [(await anext(events)).container_id for _ in range(2)]
    assert told == [sandbox, container]
    assert (await node.sandbox_status(sandbox)).state == v1.SANDBOX_NOTREADY
    await events.aclose()


async def test_while_leftovers_live_the_container_counts_as_running(node: Any) -> None:
    container = await node.started(await node.run())
    cgroup = node.engine.table.containers[container].record.cgroup
    node.world.unkillable.add(cgroup)
    node.world.end(container, 0)
    await node.until(lambda: any(call.startswith("kill_cgroup") for call in node.world.calls))
    assert (await node.status(container)).state == v1.CONTAINER_RUNNING
    node.world.unkillable.clear()
    assert (await node.over(container)).exit_code == 0


async def test_in_a_namespace_of_its_own_the_kernel_does_it(node: Any) -> None:
    container = await node.started(await node.run(pid=v1.CONTAINER), pid=v1.CONTAINER)
    node.world.end(container, 0)
    await node.over(container)
    assert not any(call.startswith("kill_cgroup") for call in node.world.calls)


async def test_without_an_exit_file_nothing_is_called_completed(node: Any) -> None:
    container = await node.started(await node.run())
    node.world.end(container, None)
    status = await node.over(container)
    assert (status.exit_code, status.reason) == (255, "ContainerStatusUnknown")
    assert status.message


async def test_out_of_memory_only_where_the_containers_own_counter_moved(node: Any) -> None:
    sandbox = await node.run()
    one, two, three = [await node.started(sandbox, name) for name in ("one", "two", "three")]
    node.world.ooms = {node.engine.table.containers[each].record.cgroup: 1 for each in (one, three)}
    for container, code in ((one, 137), (two, 137), (three, 0)):
        node.world.end(container, code)
    assert (await node.over(one)).reason == "OOMKilled"
    assert (await node.over(two)).reason == "Error"
    assert (await node.over(three)).reason == "Completed"


async def test_a_container_whose_conmon_died_is_ended_and_says_so(node: Any) -> None:
    container = await node.started(await node.run())
    main = node.world.processes[node.world.mains[container]]
    main.on_death = lambda number: None
    node.world.processes[node.world.conmons[container]].gone.set()
    status = await node.over(container)
    assert not main.alive
    assert (status.exit_code, status.reason) == (255, "ContainerStatusUnknown")
    assert "conmon" in status.message


async def test_a_full_disk_does_not_hide_an_exit(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    container = await node.started(await node.run())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(node.engine.container_records, "save", full)
    node.world.end(container, 4)
    assert (await node.over(container)).exit_code == 4
    monkeypatch.undo()
    await node.restart()
    assert (await node.over(container)).exit_code == 4
