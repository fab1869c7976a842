"""CRI v1 in process: `criapi.ports.RuntimeService` and `ImageService`. One line an RPC; each RPC has its file in `rpc`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence

from polong.cri import pause_root, restore, seccomp
from polong.cri.engine import Engine, Handler, Settings
from polong.cri.kernel import Kernel
from polong.cri.ports import ImageStore, Network
from polong.cri.records.container import ContainerRecord
from polong.cri.records.disk import RecordDir
from polong.cri.records.sandbox import SandboxRecord
from polong.cri.rpc.attach import attach
from polong.cri.rpc.attach import check as check_attach
from polong.cri.rpc.checkpoint_container import checkpoint_container
from polong.cri.rpc.container_stats import container_stats, list_container_stats
from polong.cri.rpc.container_status import container_status
from polong.cri.rpc.create_container import create_container
from polong.cri.rpc.exec import check as check_exec
from polong.cri.rpc.exec import exec  # noqa: A004 - the RPC's own name
from polong.cri.rpc.exec_program import exec_program
from polong.cri.rpc.exec_sync import exec_sync
from polong.cri.rpc.get_container_events import get_container_events
from polong.cri.rpc.image_fs_info import image_fs_info
from polong.cri.rpc.image_status import image_status
from polong.cri.rpc.list_containers import list_containers
from polong.cri.rpc.list_images import list_images
from polong.cri.rpc.list_metric_descriptors import list_metric_descriptors
from polong.cri.rpc.list_pod_sandbox import list_pod_sandbox
from polong.cri.rpc.list_pod_sandbox_metrics import list_pod_sandbox_metrics
from polong.cri.rpc.pod_sandbox_stats import list_pod_sandbox_stats, pod_sandbox_stats
from polong.cri.rpc.pod_sandbox_status import pod_sandbox_status
from polong.cri.rpc.port_forward import check as check_port_forward
from polong.cri.rpc.port_forward import port_forward
from polong.cri.rpc.pull_image import pull_image
from polong.cri.rpc.remove_container import remove_container
from polong.cri.rpc.remove_image import remove_image
from polong.cri.rpc.remove_pod_sandbox import remove_pod_sandbox
from polong.cri.rpc.reopen_container_log import reopen_container_log
from polong.cri.rpc.run_pod_sandbox import run_pod_sandbox
from polong.cri.rpc.runtime_config import runtime_config, update_runtime_config
from polong.cri.rpc.start_container import start_container
from polong.cri.rpc.status import status
from polong.cri.rpc.stop_container import stop_container
from polong.cri.rpc.stop_pod_sandbox import stop_pod_sandbox
from polong.cri.rpc.update_container_resources import update_container_resources
from polong.cri.rpc.update_pod_sandbox_resources import update_pod_sandbox_resources
from polong.cri.rpc.version import version
from polong.criapi.ports import ImageService, Programs, RuntimeService
from polong.criapi.wire import v1
from polong.kit.clock import Clock
from polong.kit.errors import Invalid, PolongError
from polong.kit.stdio import Stdio
from polong.oci import apparmor

_log = logging.getLogger(__name__)

_FLUSH_PAUSE = 1.0


class CriService:
    """`start` before the first RPC; `aclose` leaves every container running, for the next start to adopt."""

    def __init__(
        self,
        settings: Settings,
        *,
        images: ImageStore,
        handlers: Mapping[str, Handler],
        network: Network,
        kernel: Kernel,
        clock: Clock,
    ) -> None:
        """`handlers` by name of the runtime handler; "" is the default and must be there."""
        if "" not in handlers:
            raise Invalid("no default runtime handler is configured")
        for directory in (settings.state_dir, settings.run_dir):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._engine = Engine(
            settings=settings,
            images=images,
            handlers=handlers,
            network=network,
            kernel=kernel,
            clock=clock,
            sandbox_records=RecordDir(settings.state_dir / "sandboxes", SandboxRecord),
            container_records=RecordDir(settings.state_dir / "containers", ContainerRecord),
        )

    async def start(self) -> None:
        """Set the network up, then take over what an earlier run left."""
        engine = self._engine
        for directory in (engine.settings.run_dir, engine.settings.mapped_roots):
            if directory is not None:
                pause_root.make(directory, engine.settings.pause)
        try:
            await engine.network.setup()
        except (PolongError, OSError) as error:
            # RPC Status says so for as long as it lasts; Pods of the host's network run without.
            _log.error("the Pod network is not ready: %s", error)
        await self._know_runtimes()
        await self._know_apparmor()
        await restore.restore(engine)
        if engine.settings.nri_socket is not None:
            await engine.plugins.start(engine.settings.nri_socket)
        _ = engine.tasks.start(engine.sandbox_records.keep_flushing(_FLUSH_PAUSE), "flush of sandbox records")
        _ = engine.tasks.start(engine.container_records.keep_flushing(_FLUSH_PAUSE), "flush of container records")

    async def _know_runtimes(self) -> None:
        engine = self._engine
        for name, handler in engine.handlers.items():
            with contextlib.suppress(PolongError, OSError):
                runtime, _ = await handler.runtime.version()
                if runtime == "crun":
                    engine.takes_compiled_filters.add(name)
                if runtime in ("crun", "runc"):
                    engine.runs_host_processes.add(name)
        if engine.takes_compiled_filters:
            _ = engine.tasks.start(
                asyncio.to_thread(seccomp.compile_default, engine.settings.seccomp_default, engine.settings.host),
                "compile of the default filter",
            )

    async def _know_apparmor(self) -> None:
        engine = self._engine
        if not engine.settings.host.apparmor:
            return
        try:
            engine.apparmor_default = await apparmor.load()
        except PolongError as error:
            _log.warning("containers that do not name an AppArmor profile are unconfined: %s", error)

    async def aclose(self) -> None:
        """Idempotent."""
        engine = self._engine
        engine.events.close()
        await engine.plugins.aclose()
        await engine.tasks.aclose()
        engine.close_processes()
        for records in (engine.sandbox_records, engine.container_records):
            await records.flush()

    @property
    def sandboxes(self) -> int:
        """How many there are, stopped ones too."""
        return len(self._engine.table.sandboxes)

    def images_in_use(self) -> set[str]:
        """Ids of the images that containers, also ended ones, stand on."""
        return {container.record.image_id for container in self._engine.table.containers.values()}

    async def run_pod_sandbox(self, request: v1.RunPodSandboxRequest) -> v1.RunPodSandboxResponse:
        return await run_pod_sandbox(self._engine, request)

    async def stop_pod_sandbox(self, request: v1.StopPodSandboxRequest) -> v1.StopPodSandboxResponse:
        return await stop_pod_sandbox(self._engine, request)

    async def remove_pod_sandbox(self, request: v1.RemovePodSandboxRequest) -> v1.RemovePodSandboxResponse:
        return await remove_pod_sandbox(self._engine, request)

    async def pod_sandbox_status(self, request: v1.PodSandboxStatusRequest) -> v1.PodSandboxStatusResponse:
        return await pod_sandbox_status(self._engine, request)

    async def update_pod_sandbox_resources(self, request: v1.UpdatePodSandboxResourcesRequest) -> v1.UpdatePodSandboxResourcesResponse:
        return await update_pod_sandbox_resources(self._engine, request)

    async def list_pod_sandbox(self, request: v1.ListPodSandboxRequest) -> v1.ListPodSandboxResponse:
        return await list_pod_sandbox(self._engine, request)

    async def create_container(self, request: v1.CreateContainerRequest) -> v1.CreateContainerResponse:
        return await create_container(self._engine, request)

    async def start_container(self, request: v1.StartContainerRequest) -> v1.StartContainerResponse:
        return await start_container(self._engine, request)

    async def stop_container(self, request: v1.StopContainerRequest) -> v1.StopContainerResponse:
        return await stop_container(self._engine, request)

    async def remove_container(self, request: v1.RemoveContainerRequest) -> v1.RemoveContainerResponse:
        return await remove_container(self._engine, request)

    async def list_containers(self, request: v1.ListContainersRequest) -> v1.ListContainersResponse:
        return await list_containers(self._engine, request)

    async def container_status(self, request: v1.ContainerStatusRequest) -> v1.ContainerStatusResponse:
        return await container_status(self._engine, request)

    async def update_container_resources(self, request: v1.UpdateContainerResourcesRequest) -> v1.UpdateContainerResourcesResponse:
        return await update_container_resources(self._engine, request)

    async def reopen_container_log(self, request: v1.ReopenContainerLogRequest) -> v1.ReopenContainerLogResponse:
        return await reopen_container_log(self._engine, request)

    async def checkpoint_container(self, request: v1.CheckpointContainerRequest) -> v1.CheckpointContainerResponse:
        return await checkpoint_container(self._engine, request)

    async def container_stats(self, request: v1.ContainerStatsRequest) -> v1.ContainerStatsResponse:
        return await container_stats(self._engine, request)

    async def list_container_stats(self, request: v1.ListContainerStatsRequest) -> v1.ListContainerStatsResponse:
        return await list_container_stats(self._engine, request)

    async def pod_sandbox_stats(self, request: v1.PodSandboxStatsRequest) -> v1.PodSandboxStatsResponse:
        return await pod_sandbox_stats(self._engine, request)

    async def list_pod_sandbox_stats(self, request: v1.ListPodSandboxStatsRequest) -> v1.ListPodSandboxStatsResponse:
        return await list_pod_sandbox_stats(self._engine, request)

    async def list_metric_descriptors(self, request: v1.ListMetricDescriptorsRequest) -> v1.ListMetricDescriptorsResponse:
        return await list_metric_descriptors(self._engine, request)

    async def list_pod_sandbox_metrics(self, request: v1.ListPodSandboxMetricsRequest) -> v1.ListPodSandboxMetricsResponse:
        return await list_pod_sandbox_metrics(self._engine, request)

    async def exec_sync(self, request: v1.ExecSyncRequest) -> v1.ExecSyncResponse:
        return await exec_sync(self._engine, request)

    async def exec_program(self, request: v1.ExecSyncRequest, program: str, handles: Sequence[int] = ()) -> v1.ExecSyncResponse:
        return await exec_program(self._engine, request, program, handles)

    async def version(self, request: v1.VersionRequest) -> v1.VersionResponse:
        return await version(self._engine, request)

    async def status(self, request: v1.StatusRequest) -> v1.StatusResponse:
        return await status(self._engine, request)

    async def runtime_config(self, request: v1.RuntimeConfigRequest) -> v1.RuntimeConfigResponse:
        return await runtime_config(self._engine, request)

    async def update_runtime_config(self, request: v1.UpdateRuntimeConfigRequest) -> v1.UpdateRuntimeConfigResponse:
        return await update_runtime_config(self._engine, request)

    async def list_images(self, request: v1.ListImagesRequest) -> v1.ListImagesResponse:
        return await list_images(self._engine, request)

    async def image_status(self, request: v1.ImageStatusRequest) -> v1.ImageStatusResponse:
        return await image_status(self._engine, request)

    async def pull_image(self, request: v1.PullImageRequest) -> v1.PullImageResponse:
        return await pull_image(self._engine, request)

    async def remove_image(self, request: v1.RemoveImageRequest) -> v1.RemoveImageResponse:
        return await remove_image(self._engine, request)

    async def image_fs_info(self, request: v1.ImageFsInfoRequest) -> v1.ImageFsInfoResponse:
        return await image_fs_info(self._engine, request)

    async def exec(self, request: v1.ExecRequest, stdio: Stdio) -> int:
        return await exec(self._engine, request, stdio)

    async def attach(self, request: v1.AttachRequest, stdio: Stdio) -> None:
        await attach(self._engine, request, stdio)

    async def port_forward(self, pod_sandbox_id: str, port: int, stdio: Stdio) -> None:
        await port_forward(self._engine, pod_sandbox_id, port, stdio)

    def check_exec(self, request: v1.ExecRequest) -> None:
        """What can be said against a session before it begins (`streamserver.CheckedStreams`)."""
        check_exec(self._engine, request)

    def check_attach(self, request: v1.AttachRequest) -> None:
        check_attach(self._engine, request)

    def check_port_forward(self, request: v1.PortForwardRequest) -> None:
        check_port_forward(self._engine, request.pod_sandbox_id, request.port)

    def get_container_events(self, request: v1.GetEventsRequest) -> AsyncIterator[v1.ContainerEventResponse]:
        return get_container_events(self._engine, request)


_runtime: type[RuntimeService] = CriService
_images: type[ImageService] = CriService
_programs: type[Programs] = CriService
