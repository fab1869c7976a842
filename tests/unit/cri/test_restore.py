from __future__ import annotations

from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import AlreadyExists


async def test_what_lives_is_adopted_and_watched_again(node: Any) -> None:
    sandbox = await node.run()
    running, created = await node.started(sandbox, "running"), await node.create(sandbox, "created")
    before = (await node.sandbox_status(sandbox), await node.status(running), await node.status(created))
    await node.restart()
    assert (await node.sandbox_status(sandbox), await node.status(running), await node.status(created)) == before
    assert not any(call.startswith(("create", "start", "delete", "kill")) for call in node.world.calls)
    with pytest.raises(AlreadyExists):
        await node.run()
    await node.start(created)
    node.world.end(running, 5)
    assert (await node.over(running)).exit_code == 5
    node.engine.table.sandboxes[sandbox].pause.gone.set()
    await node.engine.table.sandboxes[sandbox].over.wait()
    await node.service.remove_pod_sandbox(v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox))
    assert node.census() == []


async def test_exits_that_happened_meanwhile_are_found(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox)
    leftover = node.world.spawn(node.engine.table.containers[container].record.cgroup)
    await node.service.aclose()
    node.world.end(container, 9)
    await node.restart()
    status = await node.status(container)
    assert (status.state, status.exit_code, status.reason) == (v1.CONTAINER_EXITED, 9, "Error")
    assert not leftover.alive


async def test_a_pause_that_died_meanwhile(node: Any) -> None:
    sandbox = await node.run()
    pause = node.engine.table.sandboxes[sandbox].pause
    await node.service.aclose()
    pause.gone.set()
    await node.restart()
    assert (await node.sandbox_status(sandbox)).state == v1.SANDBOX_NOTREADY


async def test_a_number_that_was_used_again_is_not_our_process(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox)
    main = node.world.processes[node.world.mains[container]]
    await node.service.aclose()
    node.world.exit_codes[container] = 0
    main._start += 1
    node.world.cgroups[node.engine.table.containers[container].record.cgroup].clear()
    await node.restart()
    assert (await node.status(container)).state == v1.CONTAINER_EXITED
    assert main.alive


async def test_a_start_that_was_never_confirmed_is_asked_of_the_runtime(node: Any) -> None:
    sandbox = await node.run()
    told, done = await node.create(sandbox, "told"), await node.create(sandbox, "done")
    for container in (told, done):
        held = node.engine.table.containers[container]
        held.record.started_at, held.record.starting = 5, True
        node.engine.save_container(held)
    node.world.states[done] = "running"
    await node.restart()
    assert (await node.status(told)).state == v1.CONTAINER_CREATED
    assert (await node.status(done)).state == v1.CONTAINER_RUNNING


async def test_half_made_things_are_undone(node: Any) -> None:
    sandbox = await node.run()
    container = await node.create(sandbox)
    engine = node.engine
    engine.table.containers[container].record.created_at = 0
    engine.save_container(engine.table.containers[container])
    engine.table.sandboxes[sandbox].record.created_at = 0
    engine.save_sandbox(engine.table.sandboxes[sandbox])
    await node.restart()
    assert node.census() == []
    assert not (await node.service.list_pod_sandbox(v1.ListPodSandboxRequest())).items


async def test_what_belongs_to_nobody_is_removed_and_foreign_things_stay(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox)
    before = node.census()
    stray, foreign = "d" * 64, "somebody-else"
    node.world.cgroups[f"/polong/test/podx/{stray}"] = set()
    node.world.cgroups["/polong/test/podx"] = set()
    lost = node.world.spawn(f"/polong/test/podx/{stray}")
    node.world.rootfs |= {stray: node.directory, foreign: node.directory}
    node.world.netns.add("e" * 64)
    node.world.attached |= {"e" * 64, foreign}
    (node.directory / "run" / "bundles" / stray).mkdir()
    (node.directory / "run" / "sandboxes" / ("f" * 64)).mkdir()
    await node.restart()
    assert not lost.alive
    assert f"/polong/test/podx/{stray}" not in node.world.cgroups
    node.world.rootfs.pop(foreign)
    node.world.attached.remove(foreign)
    assert node.census() == before
    assert (await node.status(container)).state == v1.CONTAINER_RUNNING


async def test_a_record_that_cannot_be_read_costs_only_its_own(node: Any) -> None:
    sandbox = await node.run()
    bad, good = await node.started(sandbox, "bad"), await node.started(sandbox, "good")
    (node.directory / "state" / "containers" / f"{bad}.json").write_bytes(b"\0" * 100)
    await node.restart()
    listed = (await node.service.list_containers(v1.ListContainersRequest())).containers
    assert [(each.id, each.state) for each in listed] == [(good, v1.CONTAINER_RUNNING)]
    assert bad not in node.world.rootfs
    assert not node.world.processes[node.world.mains[bad]].alive
    await node.create(sandbox, "bad")


async def test_after_a_reboot_nothing_is_ready_and_nothing_completed(node: Any) -> None:
    sandbox = await node.run()
    container = await node.started(sandbox)
    done = await node.started(sandbox, "done")
    node.world.end(done, 0)
    await node.over(done)
    await node.service.aclose()
    for process in node.world.processes.values():
        process.gone.set()
    node.world.boot = "boot-2"
    await node.restart()
    assert (await node.sandbox_status(sandbox)).state == v1.SANDBOX_NOTREADY
    status = await node.status(container)
    assert (status.exit_code, status.reason, status.message) == (255, "ContainerStatusUnknown", "the machine was restarted")
    assert (await node.status(done)).reason == "Completed"
    await node.service.remove_pod_sandbox(v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox))
    assert node.census() == []


async def test_a_second_restart_changes_nothing(node: Any) -> None:
    sandbox = await node.run()
    await node.started(sandbox)
    await node.restart()
    first = node.census()
    await node.restart()
    assert node.census() == first
