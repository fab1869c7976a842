"""`api.ports.Node` for the Pods of this node: exec, attach, port-forward, logs, processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from polong.criapi.wire import v1
from polong.kit.clock import Clock
from polong.kit.errors import BadRequest, NotFound
from polong.kit.stdio import Stdio
from polong.kubelet import containers, logs
from polong.kubelet.containerstatus import reported_end
from polong.kubelet.observation import Container, Observation
from polong.kubelet.pleg import Pleg
from polong.kubelet.ports import RuntimeService
from polong.kubelet.streams.processes import PodProcesses
from polong.objects import pod as pods
from polong.objects.podlogs import PodLogOptions
from polong.objects.podsignal import SignalOptions

Json = dict[str, Any]


class NodeStreams:
    def __init__(
        self,
        runtime: RuntimeService,
        pleg: Pleg,
        log_dir: Path,
        clock: Clock,
        processes: PodProcesses,
        original: Callable[[Json], Json] = lambda pod: pod,
    ) -> None:
        """`original` finds the static Pod behind a mirror."""
        self._original = original
        self._runtime = runtime
        self._pleg = pleg
        self._log_dir = log_dir
        self._clock = clock
        self._processes = processes

    # --- exec, attach, port-forward ----------------------------------------------------------------------------------------------

    async def exec(self, pod: Json, container: str, command: Sequence[str], stdio: Stdio) -> int:
        """The exit code. NotFound where the container does not run; BadRequest for an empty command."""
        if not command:
            raise BadRequest("you must specify at least one command for the container")
        running = await self._running(pod, container)
        request = v1.ExecRequest(
            container_id=running.id,
            cmd=list(command),
            tty=stdio.tty,
            stdin=stdio.stdin is not None,
            stdout=stdio.stdout is not None,
            stderr=stdio.stderr is not None and not stdio.tty,
        )
        return await self._runtime.exec(request, stdio)

    async def attach(self, pod: Json, container: str, stdio: Stdio) -> None:
        """Until the main process ends or the client leaves. NotFound where the container does not run."""
        running = await self._running(pod, container)
        request = v1.AttachRequest(
            container_id=running.id,
            tty=stdio.tty,
            stdin=stdio.stdin is not None,
            stdout=stdio.stdout is not None,
            stderr=stdio.stderr is not None and not stdio.tty,
        )
        await self._runtime.attach(request, stdio)

    async def port_forward(self, pod: Json, port: int, stdio: Stdio) -> None:
        """One connection to the Pod's loopback address. NotFound where the Pod has no live sandbox."""
        seen = await self._pleg.observe(pods.uid(self._original(pod)))
        sandbox = seen.sandbox()
        if sandbox is None or not sandbox.ready:
            raise NotFound(f"pod {pods.name(pod)} in namespace {pods.namespace(pod)} is not running")
        await self._runtime.port_forward(sandbox.id, port, stdio)

    async def _running(self, pod: Json, container: str) -> Container:
        seen = await self._pleg.observe(pods.uid(self._original(pod)))
        latest = seen.latest(container)
        if latest is None or latest.state != "running":
            raise NotFound(f'container not found ("{container}")')
        return latest

    # --- logs --------------------------------------------------------------------------------------------------------------------

    async def logs(self, pod: Json, container: str, options: PodLogOptions) -> AsyncIterator[bytes]:
        """Text in pieces. BadRequest (before the first piece) while there is nothing that could have written any."""
        pod = self._original(pod)
        seen = await self._pleg.observe(pods.uid(pod))
        chosen = _instance(pod, container, options, seen)
        relative = f"{containers.log_directory(pod)}/{containers.log_path(container, chosen.attempt)}"

        async def running() -> bool:
            try:
                answer = await self._runtime.container_status(v1.ContainerStatusRequest(container_id=chosen.id))
            except NotFound:
                return False
            return answer.status.state in (v1.ContainerState.CONTAINER_CREATED, v1.ContainerState.CONTAINER_RUNNING)

        async for piece in logs.read(self._log_dir, relative, options, running, self._clock):
            yield piece

    # --- processes ---------------------------------------------------------------------------------------------------------------

    async def processes(self, pod: Json, *, full: bool = False) -> Json:
        return await self._processes.listing(self._original(pod), full=full)

    async def signal(self, pod: Json, options: SignalOptions, user: str = "") -> Json:
        return await self._processes.signal(self._original(pod), options, user)

    async def restart(self, pod: Json, container: str, user: str = "") -> Json:
        return await self._processes.restart(self._original(pod), container, user)

    async def owner(self, pid: int, cgroup: str = "", *, killed: bool = False) -> Json:
        return await self._processes.owner(pid, cgroup, killed=killed)


def _instance(pod: Json, container: str, options: PodLogOptions, seen: Observation) -> Container:
    """The instance whose log is asked for, with the kubelet's texts where there is none."""
    if pods.find_container(pod, container) is None:
        raise BadRequest(f"container {container} is not valid for pod {pods.name(pod)}")
    where = f'container "{container}" in pod "{pods.name(pod)}"'
    latest = seen.latest(container)
    if options.previous:
        previous = seen.previous(container)
        if previous is None and latest is not None and latest.state == "exited" and _waits(pod, container):
            previous = latest
        if previous is None:
            raise BadRequest(f"previous terminated {where} not found")
        return previous
    if latest is None and (ended := reported_end(pod, container)) and pods.is_ephemeral(pod, {"name": container}):
        # Its container has been cleared away; its log stays as long as the Pod.
        return Container(ended, container, "", 0, "exited", datetime.min.replace(tzinfo=UTC))
    if latest is None:
        waiting = ((pods.container_status(pod, container) or {}).get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason in ("ErrImagePull", "ImagePullBackOff"):
            text = "image can't be pulled" if reason == "ErrImagePull" else "trying and failing to pull image"
            raise BadRequest(f"{where} is waiting to start: {text}")
        raise BadRequest(f"{where} is waiting to start: {reason or message or 'ContainerCreating'}")
    if latest.state == "created":
        raise BadRequest(f"{where} is waiting to start: ContainerCreating")
    return latest


def _waits(pod: Json, container: str) -> bool:
    """It ended and waits for its restart: the kubelet counts that end as the previous one."""
    return "waiting" in ((pods.container_status(pod, container) or {}).get("state") or {})
