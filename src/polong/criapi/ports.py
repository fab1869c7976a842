"""The interface of a container runtime: CRI v1's RPCs as async methods on CRI messages.

`polong.cri` satisfies it in process; a gRPC client satisfies it over a socket. Methods are named after the RPCs; the errors are
`kit.errors` (NotFound where the specification says so; Stop and Remove are idempotent).
Source: kubernetes/cri-api pkg/apis/runtime/v1/api.proto.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from polong.criapi.wire import v1
from polong.kit.stdio import Stdio


class Sandboxes(Protocol):
    async def run_pod_sandbox(self, request: v1.RunPodSandboxRequest) -> v1.RunPodSandboxResponse: ...

    async def stop_pod_sandbox(self, request: v1.StopPodSandboxRequest) -> v1.StopPodSandboxResponse: ...

    async def remove_pod_sandbox(self, request: v1.RemovePodSandboxRequest) -> v1.RemovePodSandboxResponse: ...

    async def pod_sandbox_status(self, request: v1.PodSandboxStatusRequest) -> v1.PodSandboxStatusResponse: ...

    async def list_pod_sandbox(self, request: v1.ListPodSandboxRequest) -> v1.ListPodSandboxResponse: ...

    async def update_pod_sandbox_resources(self, request: v1.UpdatePodSandboxResourcesRequest) -> v1.UpdatePodSandboxResourcesResponse: ...


class Containers(Protocol):
    async def create_container(self, request: v1.CreateContainerRequest) -> v1.CreateContainerResponse: ...

    async def start_container(self, request: v1.StartContainerRequest) -> v1.StartContainerResponse: ...

    async def stop_container(self, request: v1.StopContainerRequest) -> v1.StopContainerResponse: ...

    async def remove_container(self, request: v1.RemoveContainerRequest) -> v1.RemoveContainerResponse: ...

    async def list_containers(self, request: v1.ListContainersRequest) -> v1.ListContainersResponse: ...

    async def container_status(self, request: v1.ContainerStatusRequest) -> v1.ContainerStatusResponse:
        """With `verbose`, `info["info"]` is a JSON object with `pid` (host PID of the main process), `sandboxID`, `runtimeSpec` (as crictl
        inspect shows for containerd): `runtimeSpec.linux.cgroupsPath` names the container's cgroup; `execs` are the commands of ExecSync
        that run now, {pid, command}: Polong's own, other runtimes leave it out."""
        ...

    async def update_container_resources(self, request: v1.UpdateContainerResourcesRequest) -> v1.UpdateContainerResourcesResponse: ...

    async def reopen_container_log(self, request: v1.ReopenContainerLogRequest) -> v1.ReopenContainerLogResponse: ...

    async def checkpoint_container(self, request: v1.CheckpointContainerRequest) -> v1.CheckpointContainerResponse: ...


class Stats(Protocol):
    async def container_stats(self, request: v1.ContainerStatsRequest) -> v1.ContainerStatsResponse: ...

    async def list_container_stats(self, request: v1.ListContainerStatsRequest) -> v1.ListContainerStatsResponse: ...

    async def pod_sandbox_stats(self, request: v1.PodSandboxStatsRequest) -> v1.PodSandboxStatsResponse: ...

    async def list_pod_sandbox_stats(self, request: v1.ListPodSandboxStatsRequest) -> v1.ListPodSandboxStatsResponse: ...

    async def list_metric_descriptors(self, request: v1.ListMetricDescriptorsRequest) -> v1.ListMetricDescriptorsResponse: ...

    async def list_pod_sandbox_metrics(self, request: v1.ListPodSandboxMetricsRequest) -> v1.ListPodSandboxMetricsResponse: ...


class Streams(Protocol):
    """The streaming RPCs, in process: what a streaming server would carry over a socket."""

    async def exec_sync(self, request: v1.ExecSyncRequest) -> v1.ExecSyncResponse: ...

    async def exec(self, request: v1.ExecRequest, stdio: Stdio) -> int:
        """Run the command and return its exit code when it has ended and its output was written."""
        ...

    async def attach(self, request: v1.AttachRequest, stdio: Stdio) -> None:
        """Until the container's main process ends, or the client leaves."""
        ...

    async def port_forward(self, pod_sandbox_id: str, port: int, stdio: Stdio) -> None:
        """One connection: stdin to the Pod's 127.0.0.1:port, the answer to stdout. Unavailable where nobody listens."""
        ...


class RuntimeInfo(Protocol):
    async def version(self, request: v1.VersionRequest) -> v1.VersionResponse: ...

    async def status(self, request: v1.StatusRequest) -> v1.StatusResponse: ...

    async def runtime_config(self, request: v1.RuntimeConfigRequest) -> v1.RuntimeConfigResponse: ...

    async def update_runtime_config(self, request: v1.UpdateRuntimeConfigRequest) -> v1.UpdateRuntimeConfigResponse: ...

    def get_container_events(self, request: v1.GetEventsRequest) -> AsyncIterator[v1.ContainerEventResponse]: ...


class RuntimeService(Sandboxes, Containers, Stats, Streams, RuntimeInfo, Protocol):
    pass


class Programs(Protocol):
    """What CRI has no word for, and a runtime in this process can do all the same (docs/decisions/0016)."""

    async def exec_program(self, request: v1.ExecSyncRequest, program: str, handles: Sequence[int] = ()) -> v1.ExecSyncResponse:
        """As ExecSync, with a program of the runtime's own, executed from memory: nothing is written into the container. `program` is its
        name, `request.cmd` its arguments; `handles` are open pidfds, which it gets as descriptors 4, 5, …"""
        ...


class ImageService(Protocol):
    async def list_images(self, request: v1.ListImagesRequest) -> v1.ListImagesResponse: ...

    async def image_status(self, request: v1.ImageStatusRequest) -> v1.ImageStatusResponse: ...

    async def pull_image(self, request: v1.PullImageRequest) -> v1.PullImageResponse: ...

    async def remove_image(self, request: v1.RemoveImageRequest) -> v1.RemoveImageResponse: ...

    async def image_fs_info(self, request: v1.ImageFsInfoRequest) -> v1.ImageFsInfoResponse: ...
