"""CRI v1 over its socket, as crictl and kubelets speak it: codes, addresses of sessions, events; containers are real."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from grpclib.client import Channel, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from polong.cri.grpcserver import GrpcServer
from polong.cri.streamserver import StreamServer
from polong.criapi.wire import v1
from polong.kit.errors import FailedPrecondition, Invalid
from polong.linux import unixsocket
from polong.remotecommand import spdy

pytestmark = pytest.mark.root
UNKNOWN = "0" * 64
SERVICES = {
    method.name: (service.full_name, method)
    for service in v1.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    if not method.server_streaming
}


class Remote:
    """A client that knows nothing but the messages."""

    def __init__(self, node: Any, path: Path) -> None:
        self.node = node
        self.path = path
        self.channel = Channel(path=str(path))

    async def call(self, name: str, request: Any = None) -> Any:
        service, method = SERVICES[name]
        kinds = getattr(v1, method.input_type.name), getattr(v1, method.output_type.name)
        return await UnaryUnaryMethod(self.channel, f"/{service}/{name}", *kinds)(request or kinds[0](), timeout=30)

    async def code(self, name: str, request: Any) -> Status:
        with pytest.raises(GRPCError) as refused:
            await self.call(name, request)
        assert refused.value.message
        assert "\n" not in refused.value.message
        return refused.value.status


@pytest.fixture
async def remote(node: Any) -> AsyncIterator[Remote]:
    streams = StreamServer(node.service)
    server = GrpcServer(node.service, streams)
    path = node.directory / "cri.sock"
    await streams.start()
    await server.start(path)
    client = Remote(node, path)
    try:
        yield client
    finally:
        client.channel.close()
        await server.aclose()
        await streams.aclose()
        assert not path.exists()


async def test_every_call_of_the_specification_is_there(remote: Remote) -> None:
    for name in SERVICES:
        refused: GRPCError | None = None
        try:
            await remote.call(name)
        except GRPCError as error:
            refused = error
        assert refused is None or (refused.message != "Method not found" and refused.status is not Status.UNKNOWN), (name, refused)


async def test_codes(remote: Remote) -> None:
    assert await remote.code("ContainerStatus", v1.ContainerStatusRequest(container_id=UNKNOWN)) is Status.NOT_FOUND
    assert await remote.code("PodSandboxStatus", v1.PodSandboxStatusRequest(pod_sandbox_id=UNKNOWN)) is Status.NOT_FOUND
    assert await remote.code("ContainerStats", v1.ContainerStatsRequest(container_id=UNKNOWN)) is Status.NOT_FOUND
    assert await remote.code("Exec", v1.ExecRequest(container_id=UNKNOWN, cmd=["true"], stdout=True)) is Status.NOT_FOUND
    assert await remote.code("RunPodSandbox", v1.RunPodSandboxRequest()) is Status.INVALID_ARGUMENT
    for name, request in (
        ("StopContainer", v1.StopContainerRequest(container_id=UNKNOWN)),
        ("RemoveContainer", v1.RemoveContainerRequest(container_id=UNKNOWN)),
        ("StopPodSandbox", v1.StopPodSandboxRequest(pod_sandbox_id=UNKNOWN)),
        ("RemovePodSandbox", v1.RemovePodSandboxRequest(pod_sandbox_id=UNKNOWN)),
        ("RemoveImage", v1.RemoveImageRequest(image=v1.ImageSpec(image="localhost/none:1"))),
    ):
        await remote.call(name, request)
    sandbox = await remote.node.run()
    container = await remote.node.create(sandbox, "true")
    assert await remote.code("CheckpointContainer", v1.CheckpointContainerRequest(container_id=container)) is Status.UNIMPLEMENTED
    sync = v1.ExecSyncRequest(container_id=container, cmd=["true"])
    assert await remote.code("ExecSync", sync) is Status.FAILED_PRECONDITION
    late = v1.ExecSyncRequest(container_id=await remote.node.started(sandbox, "sleep", "100"), cmd=["sleep", "100"], timeout=1)
    assert await remote.code("ExecSync", late) is Status.DEADLINE_EXCEEDED


_BY_ID = {
    "UpdateContainerResources": v1.UpdateContainerResourcesRequest(container_id=UNKNOWN),
    "UpdatePodSandboxResources": v1.UpdatePodSandboxResourcesRequest(pod_sandbox_id=UNKNOWN),
    "ReopenContainerLog": v1.ReopenContainerLogRequest(container_id=UNKNOWN),
    "CheckpointContainer": v1.CheckpointContainerRequest(container_id=UNKNOWN),
    "StartContainer": v1.StartContainerRequest(container_id=UNKNOWN),
    "CreateContainer": v1.CreateContainerRequest(pod_sandbox_id=UNKNOWN),
    "PodSandboxStats": v1.PodSandboxStatsRequest(pod_sandbox_id=UNKNOWN),
    "ExecSync": v1.ExecSyncRequest(container_id=UNKNOWN, cmd=["true"]),
    "Attach": v1.AttachRequest(container_id=UNKNOWN, stdout=True),
    "PortForward": v1.PortForwardRequest(pod_sandbox_id=UNKNOWN, port=[80]),
}


async def test_what_is_not_there_is_not_found(remote: Remote) -> None:
    for name, request in _BY_ID.items():
        assert await remote.code(name, request) is Status.NOT_FOUND, name


async def test_the_same_again_is_the_same(remote: Remote) -> None:
    """A caller that never heard of an answer asks once more."""
    sandbox = await remote.node.run()
    container = await remote.node.create(sandbox, "sleep", "1000")
    assert await remote.code("RunPodSandbox", v1.RunPodSandboxRequest(config=sandbox_config(remote, sandbox))) is Status.ALREADY_EXISTS
    await remote.call("StartContainer", v1.StartContainerRequest(container_id=container))
    assert await remote.code("StartContainer", v1.StartContainerRequest(container_id=container)) is Status.FAILED_PRECONDITION
    limits = v1.LinuxContainerResources(memory_limit_in_bytes=64 << 20, cpu_quota=50_000, cpu_period=100_000)
    pid = remote.node.pid(container)
    for name, request in (
        ("UpdateContainerResources", v1.UpdateContainerResourcesRequest(container_id=container, linux=limits)),
        ("ReopenContainerLog", v1.ReopenContainerLogRequest(container_id=container)),
        ("UpdateRuntimeConfig", v1.UpdateRuntimeConfigRequest()),
        ("StopContainer", v1.StopContainerRequest(container_id=container, timeout=5)),
        ("RemoveContainer", v1.RemoveContainerRequest(container_id=container)),
        ("StopPodSandbox", v1.StopPodSandboxRequest(pod_sandbox_id=sandbox)),
        ("RemovePodSandbox", v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox)),
    ):
        if name == "StopContainer":
            assert remote.node.pid(container) == pid
        for _ in range(3):
            await remote.call(name, request)


def sandbox_config(remote: Remote, sandbox: str) -> v1.PodSandboxConfig:
    return remote.node.engine.table.sandboxes[sandbox].config


async def test_a_call_that_is_given_up_leaves_nothing_half_made(remote: Remote) -> None:
    config = v1.PodSandboxConfig(metadata=v1.PodSandboxMetadata(name="given-up", uid="1", namespace="default"))
    service, _ = SERVICES["RunPodSandbox"]
    method = UnaryUnaryMethod(remote.channel, f"/{service}/RunPodSandbox", v1.RunPodSandboxRequest, v1.RunPodSandboxResponse)
    for timeout in (0.001, 0.01, 0.03):
        with contextlib.suppress(asyncio.TimeoutError, GRPCError):
            await method(v1.RunPodSandboxRequest(config=config), timeout=timeout)
        await remote.node.until(lambda: not len(remote.node.engine.tasks) > 4)
        for found in (await remote.call("ListPodSandbox")).items:
            await remote.call("RemovePodSandbox", v1.RemovePodSandboxRequest(pod_sandbox_id=found.id))
        await remote.node.until(lambda: not remote.node.census())


async def test_the_socket_is_roots_alone_and_one_servers(remote: Remote, tmp_path: Path) -> None:
    mode = remote.path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    with pytest.raises(FailedPrecondition, match="another server"):
        unixsocket.bind(remote.path)
    with pytest.raises(Invalid, match="at most 107 bytes"):
        unixsocket.bind(tmp_path / ("x" * 120))
    (tmp_path / "file").touch()
    with pytest.raises(FailedPrecondition, match="no socket"):
        unixsocket.bind(tmp_path / "file")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    unixsocket.bind(tmp_path / "dead").close()


async def test_events(remote: Remote) -> None:
    kinds = v1.GetEventsRequest, v1.ContainerEventResponse
    method = UnaryStreamMethod(remote.channel, "/runtime.v1.RuntimeService/GetContainerEvents", *kinds)
    async with method.open() as stream:
        await stream.send_message(v1.GetEventsRequest(), end=True)
        await stream.recv_initial_metadata()
        sandbox = await remote.node.run()
        found = [await stream.recv_message() for _ in range(2)]
        assert [(each.container_id, each.container_event_type) for each in found] == [
            (sandbox, v1.CONTAINER_CREATED_EVENT),
            (sandbox, v1.CONTAINER_STARTED_EVENT),
        ]
        assert found[1].pod_sandbox_status.state == v1.SANDBOX_READY
        await stream.cancel()
    await remote.node.until(lambda: not remote.node.engine.events.wanted)


async def test_metrics_hold_what_their_descriptors_promise(remote: Remote) -> None:
    sandbox = await remote.node.run(network=v1.POD)
    await remote.node.started(sandbox, "sleep", "100")
    promised = {each.name: len(each.label_keys) for each in (await remote.call("ListMetricDescriptors")).descriptors}
    (pod,) = (await remote.call("ListPodSandboxMetrics")).pod_metrics
    (container,) = pod.container_metrics
    given = [*pod.metrics, *container.metrics]
    assert {each.name for each in given} <= promised.keys()
    assert {"container_cpu_usage_seconds_total", "container_network_receive_bytes_total", "container_fs_usage_bytes"} <= {
        each.name for each in given
    }
    for each in given:
        assert len(each.label_values) == promised[each.name], each
    values = {each.name: each.value.value for each in container.metrics}
    assert values["container_processes"] == 1
    assert values["container_memory_usage_bytes"] > 0


async def test_statistics_of_pod_and_container(remote: Remote) -> None:
    sandbox = await remote.node.run(network=v1.POD)
    container = await remote.node.started(sandbox, "sh", "-c", "dd if=/dev/zero of=/written bs=1024 count=512; sleep 100")
    await remote.node.until(lambda: b"512" in Path(remote.node.engine.table.containers[container].record.log_path).read_bytes())
    one = (await remote.call("ContainerStats", v1.ContainerStatsRequest(container_id=container))).stats
    assert one.attributes.id == container
    assert one.cpu.usage_core_nano_seconds.value > 0
    assert 512 * 1024 <= one.writable_layer.used_bytes.value < 1024 * 1024
    (listed,) = (await remote.call("ListContainerStats")).stats
    assert listed.attributes.id == container
    stats = (await remote.call("PodSandboxStats", v1.PodSandboxStatsRequest(pod_sandbox_id=sandbox))).stats
    assert stats.linux.process.process_count.value == 3
    assert stats.linux.network.default_interface.name == "eth0"
    assert [each.attributes.id for each in stats.linux.containers] == [container]
    assert len((await remote.call("ListPodSandboxStats")).stats) == 1


async def test_status_tells_what_handlers_can(remote: Remote) -> None:
    answer = await remote.call("Status", v1.StatusRequest(verbose=True))
    assert all(each.status for each in answer.status.conditions)
    (default,) = [each for each in answer.runtime_handlers if not each.name]
    assert default.features.user_namespaces
    assert default.features.recursive_read_only_mounts
    assert answer.features.supplemental_groups_policy
    assert json.loads(answer.info["config"])["ociRuntime"] == "crun"
    assert (await remote.call("RuntimeConfig")).linux.cgroup_driver == v1.CGROUPFS


# --- sessions -----------------------------------------------------------------------------------------------------------------


async def collect(connection: aiohttp.ClientWebSocketResponse) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    async for message in connection:
        found[message.data[0]] = found.get(message.data[0], b"") + message.data[1:]
    return found


async def test_exec_over_websocket_is_good_once(remote: Remote) -> None:
    container = await remote.node.started(await remote.node.run(), "sleep", "100")
    request = v1.ExecRequest(container_id=container, cmd=["sh", "-c", "cat; echo err >&2; exit 3"], stdin=True, stdout=True, stderr=True)
    url = (await remote.call("Exec", request)).url
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/exec/[\w-]{32}", url)
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, protocols=("v5.channel.k8s.io",)) as connection:
            await connection.send_bytes(b"\x00hello")
            await connection.send_bytes(b"\xff\x00")
            found = await collect(connection)
        assert (found[1], found[2]) == (b"hello", b"err\n")
        assert json.loads(found[3])["details"]["causes"][0]["message"] == "3"
        for address in (url, url.replace("/exec/", "/attach/"), url[:-1]):
            async with session.get(address) as answer:
                assert answer.status == 404


async def test_exec_over_spdy(remote: Remote) -> None:
    container = await remote.node.started(await remote.node.run(), "sleep", "100")
    asked = v1.ExecRequest(container_id=container, cmd=["echo", "over spdy"], stdout=True)
    place = urlsplit((await remote.call("Exec", asked)).url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    client = spdy.Session(server=False)
    try:
        writer.write(
            f"POST {place.path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            "X-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n".encode()
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        numbers = {}
        for kind in ("error", "stdout"):
            number, frame = client.open({"streamtype": kind})
            numbers[number] = kind
            writer.write(frame)
        found = {"error": b"", "stdout": b""}
        ended: set[str] = set()
        async with asyncio.timeout(10):
            while len(ended) < 2:
                for event in client.receive(await reader.read(65536)):
                    if isinstance(event, spdy.DataReceived):
                        found[numbers[event.stream]] += event.data
                        ended |= {numbers[event.stream]} if event.finished else set()
        assert found["stdout"] == b"over spdy\n"
        assert json.loads(found["error"])["status"] == "Success"
    finally:
        writer.close()


async def test_attach_over_websocket(remote: Remote) -> None:
    container = await remote.node.started(await remote.node.run(), "cat", stdin=True, stdin_once=True)
    url = (await remote.call("Attach", v1.AttachRequest(container_id=container, stdin=True, stdout=True))).url
    async with aiohttp.ClientSession() as session, session.ws_connect(url, protocols=("v5.channel.k8s.io",)) as connection:
        await connection.send_bytes(b"\x00to the main process\n")
        await connection.send_bytes(b"\xff\x00")
        assert (await collect(connection))[1] == b"to the main process\n"
    assert (await remote.node.over(container)).exit_code == 0


async def test_port_forward_over_websocket(remote: Remote) -> None:
    sandbox = await remote.node.run(network=v1.POD)
    await remote.node.started(sandbox, "sh", "-c", "while true; do echo served | nc -l -p 8080; done")
    for _ in range(100):
        url = (await remote.call("PortForward", v1.PortForwardRequest(pod_sandbox_id=sandbox, port=[8080]))).url
        async with aiohttp.ClientSession() as session, session.ws_connect(url, protocols=("v4.channel.k8s.io",)) as connection:
            found = await collect(connection)
        if found[0][2:]:
            break
        await asyncio.sleep(0.05)
    assert found[0][2:] == b"served\n"
    other = v1.PortForwardRequest(pod_sandbox_id=sandbox, port=[70000])
    assert await remote.code("PortForward", other) is Status.INVALID_ARGUMENT


async def test_an_address_is_not_good_for_ever(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polong.cri.streamserver._TOKEN_SECONDS", 0.0)
    container = await remote.node.started(await remote.node.run(), "sleep", "100")
    url = (await remote.call("Exec", v1.ExecRequest(container_id=container, cmd=["true"], stdout=True))).url
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 404
    monkeypatch.undo()
    monkeypatch.setattr("polong.cri.streamserver._MOST_WAITING", 2)
    request = v1.ExecRequest(container_id=container, cmd=["true"], stdout=True)
    for _ in range(2):
        await remote.call("Exec", request)
    assert await remote.code("Exec", request) is Status.RESOURCE_EXHAUSTED
