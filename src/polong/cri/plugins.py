"""The life of sandboxes and containers as NRI's plugins are told of it. Without a socket for plugins every method returns at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from polong.cri.ports import Json
from polong.cri.table import Container, Sandbox, Table
from polong.criapi.wire import v1
from polong.kit.errors import PolongError
from polong.nri.messages import message
from polong.nri.server import Event, NriServer

_log = logging.getLogger(__name__)

# NRI's ContainerState.
_STATES = {v1.CONTAINER_CREATED: 1, v1.CONTAINER_RUNNING: 3, v1.CONTAINER_EXITED: 4}


class Plugins:
    """`config_of` gives the runtime's configuration of a container that has been made, by its id."""

    def __init__(self, table: Table, config_of: Callable[[str], Json | None], version: str) -> None:
        self._table = table
        self._config_of = config_of
        self._server = NriServer(self._snapshot, version)
        # Told of, and not in the table yet.
        self._making: dict[str, tuple[Container, Json]] = {}
        self.listening = False

    async def start(self, path: Path) -> None:
        await self._server.start(path)
        self.listening = True

    async def aclose(self) -> None:
        """Idempotent."""
        self.listening = False
        await self._server.aclose()

    # --- sandboxes -------------------------------------------------------------------------------------------------------------

    async def run_sandbox(self, sandbox: Sandbox) -> None:
        """Before anybody can see it. FailedPrecondition where a plugin refuses it."""
        if self.listening:
            await self._server.tell(Event.RUN_POD_SANDBOX, pod(sandbox))

    async def stop_sandbox(self, sandbox: Sandbox) -> None:
        """When its containers have ended, and before its network goes. Nobody can refuse it."""
        if self.listening:
            await self._only_tell(Event.STOP_POD_SANDBOX, pod(sandbox))

    async def remove_sandbox(self, sandbox: Sandbox) -> None:
        if self.listening:
            await self._only_tell(Event.REMOVE_POD_SANDBOX, pod(sandbox))

    # --- containers ------------------------------------------------------------------------------------------------------------

    async def create(self, sandbox: Sandbox, made: Container, config: Json) -> None:
        """Before it is made. FailedPrecondition where a plugin refuses it, Unsupported where one wants it changed. From then on it is
        told to plugins that join, until `made_or_not`."""
        if not self.listening:
            return

        def told() -> None:
            self._making[made.id] = (made, config)

        await self._server.tell(Event.CREATE_CONTAINER, pod(sandbox), container(made, config), told)

    async def made_or_not(self, sandbox: Sandbox, made: Container) -> None:
        """It is in the table now, or it could not be made and is gone."""
        known = self._making.pop(made.id, None)
        if known is None or not self.listening:
            return
        event = Event.POST_CREATE_CONTAINER if made.id in self._table.containers else Event.REMOVE_CONTAINER
        await self._only_tell(event, pod(sandbox), container(made, known[1]))

    async def start_container(self, started: Container) -> None:
        """Before its process runs. FailedPrecondition where a plugin refuses it."""
        if self.listening:
            await self._server.tell(Event.START_CONTAINER, *self._both(started))

    async def container_started(self, started: Container) -> None:
        if self.listening:
            await self._only_tell(Event.POST_START_CONTAINER, *self._both(started))

    async def update_container(self, updated: Container) -> None:
        """Before its limits change. FailedPrecondition where a plugin refuses it."""
        if self.listening:
            await self._server.tell(Event.UPDATE_CONTAINER, *self._both(updated))

    async def container_updated(self, updated: Container) -> None:
        if self.listening:
            await self._only_tell(Event.POST_UPDATE_CONTAINER, *self._both(updated))

    async def container_stopped(self, stopped: Container) -> None:
        """However it came about."""
        if self.listening:
            await self._only_tell(Event.STOP_CONTAINER, *self._both(stopped))

    async def remove_container(self, removed: Container) -> None:
        if self.listening:
            await self._only_tell(Event.REMOVE_CONTAINER, *self._both(removed))

    async def _only_tell(self, event: Event, sandbox: Any, made: Any = None) -> None:  # noqa: ANN401 - messages
        try:
            await self._server.tell(event, sandbox, made)
        except PolongError as error:
            _log.warning("%s is not to be refused: %s", event.name, error)

    def _both(self, known: Container) -> tuple[Any, Any]:
        sandbox = self._table.sandboxes.get(known.record.sandbox_id)
        return None if sandbox is None else pod(sandbox), container(known, self._config_of(known.id))

    def _snapshot(self) -> tuple[list[Any], list[Any]]:
        pods = [pod(each) for each in self._table.sandboxes.values()]
        there = [container(each, self._config_of(each.id)) for each in self._table.containers.values()]
        coming = [
            container(made, config) for identifier, (made, config) in self._making.items() if identifier not in self._table.containers
        ]
        return pods, there + coming


def pod(sandbox: Sandbox) -> Any:  # noqa: ANN401 - a message
    config, record = sandbox.config, sandbox.record
    return message(
        "PodSandbox",
        id=record.id,
        name=config.metadata.name,
        uid=config.metadata.uid,
        namespace=config.metadata.namespace,
        labels=config.labels,
        annotations=config.annotations,
        runtime_handler=record.handler,
        linux=message("LinuxPodSandbox", cgroup_parent=record.cgroup_parent, cgroups_path=f"{record.cgroup_parent}/{record.id}"),
        pid=record.pid,
        ips=record.ips,
    )


def container(known: Container, config: Json | None) -> Any:  # noqa: ANN401 - a message
    """`config` is what the OCI runtime gets; None where it is not to be had."""
    asked, record = known.config, known.record
    process, linux = (config or {}).get("process", {}), (config or {}).get("linux", {})
    resources = asked.linux.resources
    return message(
        "Container",
        id=record.id,
        pod_sandbox_id=record.sandbox_id,
        name=asked.metadata.name,
        state=_STATES.get(known.state, 0),
        labels=asked.labels,
        annotations=asked.annotations,
        args=process.get("args", ()),
        env=process.get("env", ()),
        mounts=[message("Mount", **_mount(each)) for each in (config or {}).get("mounts", ())],
        linux=message(
            "LinuxContainer",
            namespaces=[message("LinuxNamespace", type=each["type"], path=each.get("path", "")) for each in linux.get("namespaces", ())],
            resources=_resources(resources),
            oom_score_adj=message("OptionalInt", value=resources.oom_score_adj),
            cgroups_path=record.cgroup,
        ),
        pid=0 if known.over.is_set() else record.pid,
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        exit_code=record.exit_code,
        status_reason=record.reason,
        status_message=record.message,
        user=message("User", uid=record.uid, gid=record.gid, additional_gids=record.groups),
    )


def _mount(mount: Json) -> Json:
    return {
        "destination": mount["destination"],
        "type": mount.get("type", ""),
        "source": mount.get("source", ""),
        "options": mount.get("options", ()),
    }


def _resources(asked: v1.LinuxContainerResources) -> Any:  # noqa: ANN401 - a message
    """Zero is CRI's "not said", absence NRI's."""
    memory = {"limit": asked.memory_limit_in_bytes, "swap": asked.memory_swap_limit_in_bytes}
    cpu = {
        "shares": ("OptionalUInt", asked.cpu_shares),
        "quota": ("OptionalInt", asked.cpu_quota),
        "period": ("OptionalUInt", asked.cpu_period),
    }
    return message(
        "LinuxResources",
        memory=message("LinuxMemory", **{name: message("OptionalInt", value=value) for name, value in memory.items() if value}),
        cpu=message(
            "LinuxCPU",
            cpus=asked.cpuset_cpus,
            mems=asked.cpuset_mems,
            **{name: message(kind, value=value) for name, (kind, value) in cpu.items() if value},
        ),
        unified=asked.unified,
    )
