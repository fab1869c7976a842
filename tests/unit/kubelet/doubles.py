"""Doubles of what the kubelet consumes, each declared against its Protocol: a runtime and an API that live in memory, and a clock that
moves when told to."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from polong.criapi.wire import v1
from polong.kit.clock import Clock, rfc3339
from polong.kit.errors import Conflict, FailedPrecondition, NotFound, Unavailable
from polong.kit.stdio import Stdio
from polong.kubelet.containers import POD_UID
from polong.kubelet.ports import Api, ImageService, RuntimeService
from polong.kubelet.resources import PodLimits
from polong.objects.podreferences import Reference

Json = dict[str, Any]


class FakeClock:
    def __init__(self) -> None:
        self._now = 1_000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC) + timedelta(seconds=self._now - 1_000)

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self._now + seconds, future)
        self._sleepers.append(entry)
        try:
            await future
        finally:
            if entry in self._sleepers:
                self._sleepers.remove(entry)

    async def advance(self, seconds: float) -> None:
        """Wake the sleepers in the order of their times, and let everybody run in between."""
        end = self._now + seconds
        await settle()
        while due := sorted((each for each in self._sleepers if each[0] <= end and not each[1].done()), key=lambda each: each[0]):
            self._now = max(self._now, due[0][0])
            due[0][1].set_result(None)
            await settle()
        self._now = end
        await settle()


async def settle(rounds: int = 60) -> None:
    """Let every task run until nothing but timers and threads is waited for."""
    for _ in range(rounds):
        await asyncio.sleep(0)


class FakeRuntime:
    """Keeps CRI's promises: idempotent stop and remove, NotFound for status, events; and asserts what the kubelet must never do."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.sandboxes: dict[str, v1.PodSandboxStatus] = {}
        self.containers: dict[str, v1.ContainerStatus] = {}
        self.owner: dict[str, str] = {}
        self.configs: dict[str, v1.ContainerConfig] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.stubborn: set[str] = set()
        self.fail_sandbox = 0
        self.fail_create: dict[str, Exception] = {}
        self.fail_start: dict[str, Exception] = {}
        self.fail_update: dict[str, Exception] = {}
        self.used: dict[str, int] = {}
        self.gate: asyncio.Event | None = None
        self.executing: Callable[[v1.ExecSyncRequest], Awaitable[tuple[int, bytes]]] | None = None
        self._ids = itertools.count(1)
        self._listeners: set[asyncio.Queue[v1.ContainerEventResponse]] = set()

    # what tests do to it

    def live(self, name: str = "") -> list[v1.ContainerStatus]:
        return [each for each in self.containers.values() if each.state == v1.CONTAINER_RUNNING and name in ("", each.metadata.name)]

    def exit(self, name: str, code: int = 0, reason: str = "") -> None:
        (found,) = self.live(name)
        self._end(found, code, reason)

    def lose_sandbox(self) -> None:
        """/pause dies, and in a shared namespace everything with it."""
        for each in self.sandboxes.values():
            each.state = v1.SANDBOX_NOTREADY
        for container in self.live():
            self._end(container, 137)

    def _end(self, found: v1.ContainerStatus, code: int, reason: str = "") -> None:
        found.state = v1.CONTAINER_EXITED
        found.exit_code = code
        found.reason = reason or ("Completed" if code == 0 else "Error")
        found.finished_at = self._nanoseconds()
        self._tell(v1.CONTAINER_STOPPED_EVENT, self.owner[found.id])

    def _nanoseconds(self) -> int:
        return int(self.clock.now().timestamp() * 1e9)

    def _tell(self, kind: v1.ContainerEventType.ValueType, sandbox_id: str) -> None:
        sandbox = self.sandboxes.get(sandbox_id)
        if sandbox is None:
            return
        for each in self._listeners:
            each.put_nowait(v1.ContainerEventResponse(container_id="c", container_event_type=kind, pod_sandbox_status=sandbox))

    # Sandboxes

    async def run_pod_sandbox(self, request: v1.RunPodSandboxRequest) -> v1.RunPodSandboxResponse:
        self.calls.append(("run_pod_sandbox", request.config.metadata.attempt))
        await asyncio.sleep(0)
        if self.fail_sandbox:
            self.fail_sandbox -= 1
            raise Unavailable("no network", reason="NetworkNotReady")
        uid = request.config.metadata.uid
        assert not [each for each in self.sandboxes.values() if each.metadata.uid == uid and each.state == v1.SANDBOX_READY]
        identity = f"s{next(self._ids)}"
        status = v1.PodSandboxStatus(
            id=identity,
            metadata=request.config.metadata,
            state=v1.SANDBOX_READY,
            created_at=self._nanoseconds(),
            labels=request.config.labels,
        )
        if request.config.linux.security_context.namespace_options.network == v1.POD:
            status.network.ip = f"10.0.0.{len(self.sandboxes) + 2}"
        self.sandboxes[identity] = status
        return v1.RunPodSandboxResponse(pod_sandbox_id=identity)

    async def stop_pod_sandbox(self, request: v1.StopPodSandboxRequest) -> v1.StopPodSandboxResponse:
        self.calls.append(("stop_pod_sandbox", request.pod_sandbox_id))
        found = self.sandboxes.get(request.pod_sandbox_id)
        if found is not None:
            found.state = v1.SANDBOX_NOTREADY
            for each in self.live():
                if self.owner[each.id] == found.id:
                    self._end(each, 137)
        return v1.StopPodSandboxResponse()

    async def remove_pod_sandbox(self, request: v1.RemovePodSandboxRequest) -> v1.RemovePodSandboxResponse:
        self.calls.append(("remove_pod_sandbox", request.pod_sandbox_id))
        self.sandboxes.pop(request.pod_sandbox_id, None)
        for identity in [each for each, owner in self.owner.items() if owner == request.pod_sandbox_id]:
            self.containers.pop(identity, None)
        return v1.RemovePodSandboxResponse()

    async def pod_sandbox_status(self, request: v1.PodSandboxStatusRequest) -> v1.PodSandboxStatusResponse:
        if request.pod_sandbox_id not in self.sandboxes:
            raise NotFound(f"no sandbox {request.pod_sandbox_id}")
        return v1.PodSandboxStatusResponse(status=self.sandboxes[request.pod_sandbox_id])

    async def list_pod_sandbox(self, request: v1.ListPodSandboxRequest) -> v1.ListPodSandboxResponse:
        wanted = request.filter.label_selector
        return v1.ListPodSandboxResponse(
            items=[
                v1.PodSandbox(id=each.id, metadata=each.metadata, state=each.state, labels=each.labels)
                for each in self.sandboxes.values()
                if all(each.labels.get(key) == value for key, value in wanted.items())
            ]
        )

    # Containers

    async def create_container(self, request: v1.CreateContainerRequest) -> v1.CreateContainerResponse:
        name = request.config.metadata.name
        self.calls.append(("create_container", name, request.config.metadata.attempt))
        await asyncio.sleep(0)
        if name in self.fail_create:
            raise self.fail_create[name]
        sandbox = self.sandboxes.get(request.pod_sandbox_id)
        assert sandbox is not None, "no container without a sandbox"
        if sandbox.state != v1.SANDBOX_READY:
            raise FailedPrecondition("sandbox ended")
        twins = [
            each
            for each in self.containers.values()
            if each.metadata.name == name
            and each.labels[POD_UID] == request.config.labels[POD_UID]
            and each.state in (v1.CONTAINER_RUNNING, v1.CONTAINER_CREATED)
        ]
        assert not twins, f"two instances of {name}"
        identity = f"c{next(self._ids)}"
        self.configs[identity] = request.config
        self.owner[identity] = request.pod_sandbox_id
        self.containers[identity] = v1.ContainerStatus(
            id=identity,
            metadata=request.config.metadata,
            state=v1.CONTAINER_CREATED,
            created_at=self._nanoseconds(),
            image=request.config.image,
            image_ref="sha256:1",
            labels=request.config.labels,
            annotations=request.config.annotations,
            log_path=request.config.log_path,
            resources=v1.ContainerResources(linux=request.config.linux.resources),
        )
        return v1.CreateContainerResponse(container_id=identity)

    async def start_container(self, request: v1.StartContainerRequest) -> v1.StartContainerResponse:
        found = self.containers[request.container_id]
        self.calls.append(("start_container", found.metadata.name))
        await asyncio.sleep(0)
        assert found.state == v1.CONTAINER_CREATED
        if (error := self.fail_start.get(found.metadata.name)) is not None:
            found.message = str(error)
            found.started_at = self._nanoseconds()
            self._end(found, 128, "StartError")
            raise error
        found.state = v1.CONTAINER_RUNNING
        found.started_at = self._nanoseconds()
        self._tell(v1.CONTAINER_STARTED_EVENT, self.owner[found.id])
        return v1.StartContainerResponse()

    async def stop_container(self, request: v1.StopContainerRequest) -> v1.StopContainerResponse:
        found = self.containers.get(request.container_id)
        if found is None:
            raise NotFound("no such container")
        self.calls.append(("stop_container", found.metadata.name, request.timeout))
        if found.metadata.name in self.stubborn:
            await self.clock.sleep(request.timeout)
            code = 137
        else:
            code = 143
        if found.state == v1.CONTAINER_RUNNING:
            self._end(found, code)
        return v1.StopContainerResponse()

    async def remove_container(self, request: v1.RemoveContainerRequest) -> v1.RemoveContainerResponse:
        self.calls.append(("remove_container", request.container_id))
        self.containers.pop(request.container_id, None)
        return v1.RemoveContainerResponse()

    async def list_containers(self, request: v1.ListContainersRequest) -> v1.ListContainersResponse:
        wanted = request.filter.label_selector
        return v1.ListContainersResponse(
            containers=[
                v1.Container(
                    id=each.id,
                    pod_sandbox_id=self.owner[each.id],
                    metadata=each.metadata,
                    image=self.configs[each.id].image if each.id in self.configs else each.image,
                    state=each.state,
                    labels=each.labels,
                )
                for each in self.containers.values()
                if all(each.labels.get(key) == value for key, value in wanted.items())
            ]
        )

    async def container_status(self, request: v1.ContainerStatusRequest) -> v1.ContainerStatusResponse:
        if request.container_id not in self.containers:
            raise NotFound(f"no container {request.container_id}")
        answer = v1.ContainerStatusResponse(status=self.containers[request.container_id])
        return answer

    async def update_container_resources(self, request: v1.UpdateContainerResourcesRequest) -> v1.UpdateContainerResourcesResponse:
        found = self.containers[request.container_id]
        self.calls.append(("update_container_resources", found.metadata.name))
        assert found.state == v1.CONTAINER_RUNNING
        if (error := self.fail_update.get(found.metadata.name)) is not None:
            raise error
        found.resources.linux.MergeFrom(request.linux)
        return v1.UpdateContainerResourcesResponse()

    async def update_pod_sandbox_resources(self, request: v1.UpdatePodSandboxResourcesRequest) -> v1.UpdatePodSandboxResourcesResponse:
        self.calls.append(("update_pod_sandbox_resources", request.resources.cpu_shares))
        return v1.UpdatePodSandboxResourcesResponse()

    async def container_stats(self, request: v1.ContainerStatsRequest) -> v1.ContainerStatsResponse:
        used = self.used.get(self.containers[request.container_id].metadata.name, 0)
        return v1.ContainerStatsResponse(stats=v1.ContainerStats(memory=v1.MemoryUsage(usage_bytes=v1.UInt64Value(value=used))))

    async def reopen_container_log(self, request: v1.ReopenContainerLogRequest) -> v1.ReopenContainerLogResponse:
        self.calls.append(("reopen_container_log", request.container_id))
        return v1.ReopenContainerLogResponse()

    # Streams

    async def exec_sync(self, request: v1.ExecSyncRequest) -> v1.ExecSyncResponse:
        self.calls.append(("exec_sync", self.containers[request.container_id].metadata.name, tuple(request.cmd), request.timeout))
        if self.containers[request.container_id].state != v1.CONTAINER_RUNNING:
            raise FailedPrecondition("container is not running")
        code, output = await self.executing(request) if self.executing is not None else (0, b"")
        return v1.ExecSyncResponse(exit_code=code, stdout=output)

    async def exec(self, request: v1.ExecRequest, stdio: Stdio) -> int:
        self.calls.append(("exec", request.container_id, tuple(request.cmd), request.tty))
        return 7

    async def attach(self, request: v1.AttachRequest, stdio: Stdio) -> None:
        self.calls.append(("attach", request.container_id, request.stdin))

    async def port_forward(self, pod_sandbox_id: str, port: int, stdio: Stdio) -> None:
        self.calls.append(("port_forward", pod_sandbox_id, port))

    # Info

    async def version(self, request: v1.VersionRequest) -> v1.VersionResponse:
        return v1.VersionResponse(runtime_name="polong", runtime_version="0.1.0")

    async def status(self, request: v1.StatusRequest) -> v1.StatusResponse:
        ready = [v1.RuntimeCondition(type="RuntimeReady", status=True), v1.RuntimeCondition(type="NetworkReady", status=True)]
        return v1.StatusResponse(status=v1.RuntimeStatus(conditions=ready))

    async def get_container_events(self, request: v1.GetEventsRequest) -> AsyncIterator[v1.ContainerEventResponse]:
        queue: asyncio.Queue[v1.ContainerEventResponse] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)


class FakeImages:
    def __init__(self, *present: str) -> None:
        self.present = set(present)
        self.absent_pulls: dict[str, Exception] = {}
        self.pulls: list[str] = []
        self.gate: asyncio.Event | None = None
        self.uid: int | None = None
        self.username = ""

    async def list_images(self, request: v1.ListImagesRequest) -> v1.ListImagesResponse:
        return v1.ListImagesResponse(images=[v1.Image(id=each, repo_tags=[each], size=1) for each in sorted(self.present)])

    async def image_status(self, request: v1.ImageStatusRequest) -> v1.ImageStatusResponse:
        name = request.image.image
        if name not in self.present:
            return v1.ImageStatusResponse()
        image = v1.Image(id=f"sha256:{name}", repo_tags=[name], username=self.username)
        if self.uid is not None:
            image.uid.value = self.uid
        return v1.ImageStatusResponse(image=image)

    async def pull_image(self, request: v1.PullImageRequest) -> v1.PullImageResponse:
        name = request.image.image
        self.pulls.append(name)
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        if name in self.absent_pulls:
            raise self.absent_pulls[name]
        self.present.add(name)
        return v1.PullImageResponse(image_ref=name)

    async def remove_image(self, request: v1.RemoveImageRequest) -> v1.RemoveImageResponse:
        raise NotImplementedError

    async def image_fs_info(self, request: v1.ImageFsInfoRequest) -> v1.ImageFsInfoResponse:
        where = v1.FilesystemIdentifier(mountpoint="/")
        return v1.ImageFsInfoResponse(image_filesystems=[v1.FilesystemUsage(fs_id=where)])


class FakeApi:
    """Objects in memory; every accepted write is told to the watchers, as an API server does."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.events: list[Json] = []
        self.nodes: dict[str, Json] = {}
        self.node_writes = 0
        self.leases: dict[str, Json] = {}
        self.history: list[Json] = []
        self.deleted: list[str] = []
        self.served: list[Json] = []
        self.refusing: Exception | None = None
        self.kept: dict[tuple[str, Reference], Json] = {}
        self.tokens: list[Json] = []
        self.token_life = 3_600
        self.token_problem: Exception | None = None
        self.clock: FakeClock | None = None
        self._watchers: set[asyncio.Queue[tuple[str, Json]]] = set()
        self._referred: dict[tuple[str, Reference], set[asyncio.Queue[tuple[str, Json]]]] = {}

    def keep(self, kind: str, name: str, data: Json | None, namespace: str = "default", **fields: Any) -> None:
        """Make or change a ConfigMap or Secret; `data` None deletes it."""
        key = (namespace, Reference(kind, name))
        before = self.kept.pop(key, None)
        if data is None:
            assert before is not None
            change = ("DELETED", before)
        else:
            fresh = {"kind": kind, "metadata": {"name": name, "namespace": namespace, "uid": f"{kind}/{name}"}, "data": data, **fields}
            self.kept[key] = fresh
            change = ("ADDED" if before is None else "MODIFIED", fresh)
        for each in self._referred.get(key, ()):
            each.put_nowait(change)

    def followed(self) -> set[tuple[str, Reference]]:
        """What somebody watches."""
        return {key for key, watchers in self._referred.items() if watchers}

    async def referred(self, namespace: str, reference: Reference) -> AsyncIterator[tuple[str, Json]]:
        queue: asyncio.Queue[tuple[str, Json]] = asyncio.Queue()
        watchers = self._referred.setdefault((namespace, reference), set())
        watchers.add(queue)
        try:
            if (found := self.kept.get((namespace, reference))) is not None:
                yield "ADDED", found
            yield "SYNCED", {}
            while True:
                yield await queue.get()
        finally:
            watchers.discard(queue)

    async def services(self) -> AsyncIterator[tuple[str, Json]]:
        for each in self.served:
            yield "ADDED", each
        yield "SYNCED", {}
        await asyncio.Event().wait()

    async def endpoint_slices(self) -> AsyncIterator[tuple[str, Json]]:
        yield "SYNCED", {}
        await asyncio.Event().wait()

    async def create_token(self, namespace: str, account: str, request: Json) -> Json:
        if self.token_problem is not None:
            raise self.token_problem
        self.tokens.append(request)
        now = self.clock.now() if self.clock is not None else datetime.now(UTC)
        until = now + timedelta(seconds=self.token_life)
        return {"status": {"token": f"{account}-{len(self.tokens)}", "expirationTimestamp": rfc3339(until)}}

    def create(self, pod: Json) -> Json:
        self.objects[pod["metadata"]["uid"]] = pod
        self._tell("ADDED", pod)
        return pod

    def change(self, uid: str, **metadata: Any) -> None:
        pod = copy.deepcopy(self.objects[uid])
        pod["metadata"] |= metadata
        self.objects[uid] = pod
        self._tell("MODIFIED", pod)

    def set_image(self, uid: str, container: str, image: str) -> None:
        pod = copy.deepcopy(self.objects[uid])
        next(each for each in pod["spec"]["containers"] if each["name"] == container)["image"] = image
        self.objects[uid] = pod
        self._tell("MODIFIED", pod)

    def debug(self, uid: str, ephemeral: Json) -> None:
        pod = copy.deepcopy(self.objects[uid])
        pod["spec"].setdefault("ephemeralContainers", []).append(ephemeral)
        self.objects[uid] = pod
        self._tell("MODIFIED", pod)

    def delete(self, uid: str, grace: int = 30) -> None:
        """Graceful, as kubectl delete."""
        self.change(uid, deletionTimestamp="2026-01-02T03:04:35Z", deletionGracePeriodSeconds=grace)

    def force_delete(self, uid: str) -> None:
        self._tell("DELETED", self.objects.pop(uid))

    def status(self, uid: str) -> Json:
        found: Json = self.objects[uid].get("status", {})
        return found

    def told(self, reason: str) -> list[str]:
        return [each["message"] for each in self.events if each["reason"] == reason]

    def _tell(self, kind: str, pod: Json) -> None:
        for each in self._watchers:
            each.put_nowait((kind, pod))

    async def pods(self, node_name: str) -> AsyncIterator[tuple[str, Json]]:
        queue: asyncio.Queue[tuple[str, Json]] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            for pod in list(self.objects.values()):
                yield "ADDED", pod
            yield "SYNCED", {}
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    async def create_pod(self, pod: Json) -> Json:
        await asyncio.sleep(0)
        if self.refusing is not None:
            raise self.refusing
        made = copy.deepcopy(pod)
        made["metadata"]["uid"] = f"{len(self.history) + len(self.deleted):08x}-0000-4000-8000-00000000000{len(self.objects)}"
        made["status"] = {"phase": "Pending"}
        return self.create(made)

    async def patch_pod_status(self, namespace: str, name: str, patch: Json) -> Json:
        await asyncio.sleep(0)
        uid = patch["metadata"]["uid"]
        if uid not in self.objects:
            raise NotFound(f'pods "{name}" not found')
        pod = copy.deepcopy(self.objects[uid])
        status = pod.setdefault("status", {})
        for key, value in patch["status"].items():
            if value is None:
                status.pop(key, None)
            else:
                status[key] = value
        self.objects[uid] = pod
        self.history.append(copy.deepcopy(status))
        self._tell("MODIFIED", pod)
        return pod

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        await asyncio.sleep(0)
        if uid not in self.objects:
            raise Conflict("uid")
        self.deleted.append(uid)
        self._tell("DELETED", self.objects.pop(uid))

    async def claimed_volumes(self) -> frozenset[str]:
        return frozenset()

    async def runtime_handler(self, runtime_class: str) -> str:
        return f"{runtime_class}-handler"

    async def create_event(self, event: Json) -> Json:
        self.events.append(event)
        return event

    async def patch_event(self, namespace: str, name: str, patch: Json) -> Json:
        found = next(each for each in self.events if each["metadata"]["name"] == name)
        found |= patch
        return found

    async def get_node(self, name: str) -> Json:
        if name not in self.nodes:
            raise NotFound(name)
        return self.nodes[name]

    async def create_node(self, node: Json) -> Json:
        self.nodes[node["metadata"]["name"]] = node
        return node

    async def patch_node(self, name: str, patch: Json, *, status: bool) -> Json:
        if name not in self.nodes:
            raise NotFound(name)
        for key, value in patch.items():
            self.nodes[name][key] = {**self.nodes[name].get(key, {}), **value}
        self.node_writes += 1
        return self.nodes[name]

    async def create_lease(self, lease: Json) -> Json:
        self.leases[lease["metadata"]["name"]] = lease
        return lease

    async def patch_lease(self, namespace: str, name: str, patch: Json) -> Json:
        if name not in self.leases:
            raise NotFound(name)
        self.leases[name]["spec"] = {**self.leases[name]["spec"], **patch["spec"]}
        return self.leases[name]


class FakeCgroups:
    """In place of host.cgroups.PodCgroups."""

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.limits: list[PodLimits] = []

    async def create(self, pod: Json) -> str:
        self.made.add(pod["metadata"]["uid"])
        return f"/test/pod{pod['metadata']['uid']}"

    async def remove(self, uid: str) -> None:
        self.made.discard(uid)

    async def limit(self, pod: Json, limits: PodLimits) -> None:
        self.limits.append(limits)

    def held(self) -> set[str]:
        return set(self.made)

    async def remove_all(self) -> None:
        pass


_clock: type[Clock] = FakeClock
_runtime: type[RuntimeService] = FakeRuntime
_images: type[ImageService] = FakeImages
_api: type[Api] = FakeApi

UID = "0a1b2c3d-0000-4000-8000-000000000001"


def container(name: str = "app", **fields: Any) -> Json:
    return {"name": name, "image": "busybox:1.28", "imagePullPolicy": "IfNotPresent", **fields}


def pod(*containers: Json, uid: str = UID, name: str = "web", **spec: Any) -> Json:
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "default", "uid": uid, "generation": 1},
        "spec": {
            "nodeName": "node",
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "containers": list(containers) or [container()],
            **spec,
        },
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }
