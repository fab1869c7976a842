from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from polong.criapi.wire import v1
from polong.kit.errors import AlreadyExists, FailedPrecondition, Invalid, NotFound, PolongError, Unavailable


async def test_a_sandbox_is_ready_with_addresses_and_its_modes_told_back(node: Any) -> None:
    sandbox = await node.run(pid=v1.POD)
    status = await node.sandbox_status(sandbox)
    assert status.state == v1.SANDBOX_READY
    assert status.network.ip == "10.88.0.2"
    assert [each.ip for each in status.network.additional_ips] == ["fd00::2"]
    assert status.linux.namespaces.options.pid == v1.POD
    assert status.metadata.name == "pod"
    assert status.created_at > 10**18


async def test_network_and_pause_are_made_beside_each_other(node: Any) -> None:
    node.world.gates = {"network_attach": asyncio.Event(), "run": asyncio.Event()}
    async with asyncio.TaskGroup() as group:
        run = group.create_task(node.run())
        await node.until(lambda: {call.split()[0] for call in node.world.calls} >= {"network_attach", "run"})
        assert not run.done()
        for gate in node.world.gates.values():
            gate.set()


async def test_pause_gets_new_namespaces_and_the_pods_network(node: Any) -> None:
    sandbox = await node.run()
    config = node.world.bundles[sandbox]
    kinds = {entry["type"]: entry.get("path", "") for entry in config["linux"]["namespaces"]}
    assert kinds == {"pid": "", "ipc": "", "uts": "", "mount": "", "cgroup": "", "network": f"/run/netns/{sandbox}"}
    assert config["process"]["args"] == ["/pause"]
    assert config["linux"]["cgroupsPath"] == f"/polong/test/podpod/{sandbox}"


async def test_the_hosts_network_needs_no_attachment(node: Any) -> None:
    config = node.sandbox_config()
    config.linux.security_context.namespace_options.network = v1.NODE
    await node.service.run_pod_sandbox(v1.RunPodSandboxRequest(config=config))
    assert node.world.netns == node.world.attached == set()


@pytest.mark.parametrize("step", ["create_namespace", "network_attach", "run"])
async def test_nothing_half_made_stays_wherever_it_fails(node: Any, refusal: PolongError, step: str) -> None:
    node.world.fail[step] = refusal
    with pytest.raises(type(refusal), match="says no"):
        await node.run()
    assert node.census() == []
    node.world.fail.clear()
    await node.run()


async def test_a_cancelled_call_leaves_nothing(node: Any) -> None:
    node.world.gates["run"] = asyncio.Event()
    task = asyncio.get_running_loop().create_task(node.run())
    await node.until(lambda: any(call.startswith("run ") for call in node.world.calls))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert node.census() == []


async def test_what_cannot_be_undone_stays_recorded_and_can_be_removed_later(node: Any, refusal: PolongError) -> None:
    node.world.fail = {"run": refusal, "detach": Unavailable("plugin hangs")}
    with pytest.raises(PolongError):
        await node.run()
    listed = (await node.service.list_pod_sandbox(v1.ListPodSandboxRequest())).items
    assert [item.state for item in listed] == [v1.SANDBOX_NOTREADY]
    node.world.fail.clear()
    await node.service.remove_pod_sandbox(v1.RemovePodSandboxRequest(pod_sandbox_id=listed[0].id))
    assert node.census() == []


async def test_the_same_attempt_never_runs_twice(node: Any) -> None:
    await node.run()
    with pytest.raises(AlreadyExists, match="is reserved for"):
        await node.run()
    await node.run(attempt=1)


async def test_bad_requests(node: Any) -> None:
    with pytest.raises(Invalid, match="metadata"):
        await node.service.run_pod_sandbox(v1.RunPodSandboxRequest())
    with pytest.raises(NotFound, match='no runtime for "kata"'):
        await node.service.run_pod_sandbox(v1.RunPodSandboxRequest(config=node.sandbox_config(), runtime_handler="kata"))
    config = node.sandbox_config()
    config.linux.security_context.namespace_options.userns_options.mode = v1.POD
    with pytest.raises(Invalid, match="exactly one mapping"):
        await node.service.run_pod_sandbox(v1.RunPodSandboxRequest(config=config))
    config = node.sandbox_config()
    config.linux.cgroup_parent = "/polong/../escape"
    with pytest.raises(Invalid, match="cgroup"):
        await node.service.run_pod_sandbox(v1.RunPodSandboxRequest(config=config))
    assert node.census() == []


async def test_the_death_of_pause_is_seen(node: Any) -> None:
    sandbox = await node.run()
    events = node.service.get_container_events(v1.GetEventsRequest())
    node.engine.table.sandboxes[sandbox].pause.gone.set()
    event = await anext(events)
    assert (event.container_id, event.container_event_type) == (sandbox, v1.CONTAINER_STOPPED_EVENT)
    assert event.pod_sandbox_status.state == v1.SANDBOX_NOTREADY
    assert (await node.sandbox_status(sandbox)).state == v1.SANDBOX_NOTREADY
    await events.aclose()


async def test_only_ports_of_the_host_are_mapped(node: Any) -> None:
    config = node.sandbox_config()
    config.port_mappings.add(container_port=80)
    config.port_mappings.add(container_port=53, host_port=5353, protocol=v1.UDP, host_ip="127.0.0.1")
    await node.service.run_pod_sandbox(v1.RunPodSandboxRequest(config=config))
    (port,) = node.network.ports
    assert (port.host_port, port.container_port, port.protocol, port.host_ip) == (5353, 53, "udp", "127.0.0.1")


async def test_a_pause_that_ends_at_once_is_an_error(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = node.runtime.run

    async def short(container_id: str, bundle: Path) -> int:
        pid: int = await run(container_id, bundle)
        for process in node.world.processes.values():
            process.gone.set()
        return pid

    monkeypatch.setattr(node.runtime, "run", short)
    with pytest.raises(FailedPrecondition, match="ended at once"):
        await node.run()
    assert node.census() == []
