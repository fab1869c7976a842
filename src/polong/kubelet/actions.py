"""Doing what a plan says: one method for each kind of action. Knows no order of things: that is the plan's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polong.criapi.wire import v1
from polong.kit.clock import Clock
from polong.kit.errors import Invalid, NotFound, PolongError
from polong.kubelet import containers, logs, restarts, security
from polong.kubelet.allocation import Allocations
from polong.kubelet.config import DnsConfig, KubeletConfig
from polong.kubelet.containers import Surroundings
from polong.kubelet.containerstatus import NO_TARGET, Problem
from polong.kubelet.decisions import Kill, Start
from polong.kubelet.downward import Addresses, Allocatable
from polong.kubelet.environment import Sources, environment, file_references
from polong.kubelet.events import Recorder
from polong.kubelet.handlers.target import Target
from polong.kubelet.hooks import Hooks
from polong.kubelet.host.cgroups import PodCgroups
from polong.kubelet.images import ImageProblem, Images, LocalImage
from polong.kubelet.observation import Container, Observation
from polong.kubelet.ports import Objects, RuntimeService
from polong.kubelet.resizer import Resizer
from polong.kubelet.resources import Machine, pod_limits
from polong.kubelet.volumes import Instance, Volumes, envfiles, removal, termination
from polong.objects import pod as pods
from polong.objects import podreferences, sharing

Json = dict[str, Any]

_RETRY_CONFIG = 10.0
SHORTEST_GRACE = 2
"""Seconds between the stop signal and SIGKILL, however much of a longer grace was spent before it."""
_TAIL_LINES, _TAIL_BYTES = 80, 2_048

Window = Callable[[], AbstractAsyncContextManager[None]]
"""What is awaited inside may be broken off."""


@dataclass(frozen=True)
class Outcome:
    """How a start went: no problem, or one with the seconds until the next try (None: the back-off decides)."""

    problem: Problem | None = None
    retry: float | None = None


@dataclass(frozen=True)
class Node:
    """What actions need to know of the machine."""

    machine: Machine
    ips: Sequence[str]
    resolver: DnsConfig
    allocatable: Allocatable
    runtime_handler: Callable[[str], Awaitable[str]]
    """Of a RuntimeClass by its name; NotFound."""
    variables: Callable[[Json], Awaitable[Mapping[str, str]]]
    """Of the Services that a Pod is told of; Unavailable."""


class Actions:
    def __init__(
        self,
        config: KubeletConfig,
        runtime: RuntimeService,
        images: Images,
        hooks: Hooks,
        files: tuple[Volumes, PodCgroups, Objects],
        recorder: Recorder,
        clock: Clock,
        node: Node,
        allocations: Allocations,
    ) -> None:
        self._config = config
        self._runtime = runtime
        self._images = images
        self._hooks = hooks
        self._volumes, self._cgroups, self._objects = files
        self._recorder = recorder
        self._clock = clock
        self._node = node
        self._allocations = allocations
        self.resizer = Resizer(runtime, self._cgroups, allocations)

    # --- sandbox ---------------------------------------------------------------------------------------------------------------

    async def create_sandbox(self, pod: Json, attempt: int) -> None:
        """Volumes and cgroup first, then the sandbox. Errors were recorded as FailedMount or FailedCreatePodSandBox."""
        try:
            _, cgroup = await every((self._volumes.set_up(pod), self._cgroups.create(pod)))
            self._allocations.limited(pod, pod_limits(pod))
        except PolongError as error:
            self._recorder.pod(pod, error.reason or "FailedCreatePodSandBox", str(error), warning=True)
            raise
        dns = containers.dns_config(pod, self._node.resolver)
        try:
            users = self._volumes.users(pod)
        except PolongError as error:
            self._recorder.pod(pod, error.reason, str(error), warning=True)
            raise
        try:
            config = containers.sandbox_config(pod, attempt, dns=dns, logs=self._config.log_dir, cgroup_parent=cgroup, users=users)
        except PolongError as error:
            self._recorder.pod(pod, "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}", warning=True)
            raise
        Path(config.log_directory).mkdir(mode=0o755, parents=True, exist_ok=True)
        runtime_class = pods.spec(pod).get("runtimeClassName")
        try:
            handler = await self._node.runtime_handler(runtime_class) if runtime_class else ""
            await self._runtime.run_pod_sandbox(v1.RunPodSandboxRequest(config=config, runtime_handler=handler))
        except PolongError as error:
            self._recorder.pod(pod, "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}", warning=True)
            raise

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await self._runtime.stop_pod_sandbox(v1.StopPodSandboxRequest(pod_sandbox_id=sandbox_id))

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self._runtime.remove_pod_sandbox(v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id))

    # --- containers ------------------------------------------------------------------------------------------------------------

    async def _image(self, pod: Json, name: str) -> LocalImage | Outcome:
        """It, or why it cannot be had. May take long; cancelling it leaves the pull running."""
        container = pods.find_container(pod, name)
        assert container is not None
        try:
            image = await self._images.ensure(pod, container)
            return replace(image, volumes=await self._image_volumes(pod, container))
        except ImageProblem as error:
            if error.reason != "ErrImageNeverPull":
                self._recorder.pod(pod, "Failed", f"Error: {error.reason}", warning=True, container=name)
            return Outcome(Problem(error.reason, str(error), self._clock.now()), error.retry)

    async def _image_volumes(self, pod: Json, container: Json) -> Mapping[str, str]:
        """References of the images that the container mounts, by volume. ImageProblem."""
        mounted = {each["name"] for each in container.get("volumeMounts") or ()}
        found = {}
        for volume in pods.spec(pod).get("volumes") or ():
            if (source := volume.get("image")) is None or volume["name"] not in mounted:
                continue
            wanted = {"name": container["name"], "image": source.get("reference") or "", "imagePullPolicy": source.get("pullPolicy")}
            found[volume["name"]] = (await self._images.ensure(pod, wanted)).ref
        return found

    async def start(self, pod: Json, seen: Observation, starts: Sequence[Start], window: Window) -> Mapping[str, Outcome]:
        """Pull and create all side by side, start them in order: that is what can be seen of Kubernetes' one after the other. One is
        started as soon as it is made and those before it have had their turn, their postStart hooks included: only hooks and pulls run
        inside a `window`."""
        try:
            paths = await self._volumes.set_up(pod)
        except PolongError as error:
            self._recorder.pod(pod, error.reason, str(error), warning=True)
            raise
        turns = [asyncio.Event() for _ in starts]
        broken: list[str] = []

        async def one(index: int, start: Start) -> Outcome:
            try:
                result: str | Outcome = start.created
                if not start.created:
                    async with window():
                        image = await self._image(pod, start.name)
                    result = image if isinstance(image, Outcome) else await self._create(pod, seen, start, image, paths)
                if index > 0:
                    await turns[index - 1].wait()
                if isinstance(result, Outcome) or broken:
                    return result if isinstance(result, Outcome) else Outcome()
                outcome = await self._start(pod, start, result)
                return outcome if outcome.problem is not None else await self._post_start(pod, seen, start, result, window)
            except BaseException:
                # Broken off, or failed as nothing should: those behind it are not to start.
                broken.append(start.name)
                raise
            finally:
                turns[index].set()

        outcomes = await every(one(index, each) for index, each in enumerate(starts))
        return {each.name: outcome for each, outcome in zip(starts, outcomes, strict=True)}

    async def _create(self, pod: Json, seen: Observation, start: Start, image: LocalImage, paths: Mapping[str, Path]) -> str | Outcome:
        """The id of the container, or why there is none."""
        container = pods.find_container(pod, start.name)
        assert container is not None
        try:
            config = await self._configure(pod, container, seen, start, image, paths)
        except (PolongError, OSError) as error:
            return self._failed(pod, start, error, "CreateContainerConfigError")
        # The runtime reads of the sandbox's configuration only where the logs are, and whether the Pod has a privileged container by now.
        sandbox = v1.PodSandboxConfig(log_directory=str(self._config.log_dir / containers.log_directory(pod)))
        sandbox.metadata.CopyFrom(v1.PodSandboxMetadata(name=pods.name(pod), uid=pods.uid(pod), namespace=pods.namespace(pod)))
        sandbox.linux.security_context.privileged = security.has_privileged(pod)
        request = v1.CreateContainerRequest(pod_sandbox_id=start.sandbox_id, config=config, sandbox_config=sandbox)
        try:
            answer = await self._runtime.create_container(request)
        except Invalid as error:
            return self._failed(pod, start, error, "CreateContainerConfigError")
        except PolongError as error:
            return self._failed(pod, start, error, "CreateContainerError")
        self._allocations.made(pod, start.name, answer.container_id)
        self._recorder.pod(pod, "Created", f"Created container: {start.name}", container=start.name)
        if not start.attempt and sharing.shared(pod):
            for sentence in sharing.pid_1(sharing.effective_command(container, image.command)):
                self._recorder.pod(pod, "WantsPID1", sentence, warning=True, container=start.name)
        return answer.container_id

    async def _configure(
        self, pod: Json, container: Json, seen: Observation, start: Start, image: LocalImage, paths: Mapping[str, Path]
    ) -> v1.ContainerConfig:
        sandbox = next((each for each in seen.sandboxes if each.id == start.sandbox_id), None)
        ips: Sequence[str] = sandbox.ips if sandbox is not None else ()
        if pods.host_network(pod):
            ips = self._node.ips
        values = environment(pod, container, await self._sources(pod, container, ips, paths))
        mounts = await self._volumes.mounts(pod, container, Instance(start.attempt, paths, ips, values, image.volumes))
        around = Surroundings(
            machine=self._node.machine,
            environment=values,
            seccomp_profiles=self._config.root_dir / "seccomp",
            mounts=mounts,
            image_ref=image.ref,
            image_user=image.user,
            target_id=_target(container, seen),
            users=self._volumes.users(pod),
        )
        return containers.container_config(pod, container, start.attempt, around)

    async def _sources(self, pod: Json, container: Json, ips: Sequence[str], paths: Mapping[str, Path]) -> Sources:
        objects = {each: await self._objects.get(pods.namespace(pod), each) for each in podreferences.of_environment(container)}
        found = await self._node.variables(pod)
        files = {}
        for volume, path in file_references(container):
            if volume not in paths:
                raise Invalid(f'volume "{volume}" is not set up', reason="CreateContainerConfigError")
            files[volume, path] = await asyncio.to_thread(envfiles.read, paths[volume], path)
        return Sources(Addresses(ips, self._node.ips), self._node.allocatable, objects, files, found)

    async def _start(self, pod: Json, start: Start, container_id: str) -> Outcome:
        try:
            await self._runtime.start_container(v1.StartContainerRequest(container_id=container_id))
        except PolongError as error:
            # The runtime keeps it as an exited container: the back-off counts from there.
            return self._failed(pod, start, error, "RunContainerError", 0.0)
        self._recorder.pod(pod, "Started", f"Started container {start.name}", container=start.name)
        return Outcome()

    def starting(self, uid: str) -> frozenset[str]:
        """The ids of containers that run, but are not said to before their postStart hook has ended."""
        return self._hooks.starting(uid)

    async def _post_start(self, pod: Json, seen: Observation, start: Start, container_id: str, window: Window) -> Outcome:
        """Where the hook fails the container goes, and its policy decides what then."""
        target = self._target(pod, start.name, container_id, seen)
        if target is None:
            return Outcome()
        async with window():
            try:
                await self._hooks.post_start(pod, target)
            except PolongError as error:
                await self.kill(pod, [Kill(container_id, start.name, pods.grace_seconds(pod), "FailedPostStartHook")], seen)
                return Outcome(Problem(error.reason, str(error), self._clock.now()), 0.0)
        return Outcome()

    def _target(self, pod: Json, name: str, container_id: str, seen: Observation) -> Target | None:
        """None where the container has no hooks."""
        container = pods.find_container(pod, name)
        if container is None or not container.get("lifecycle"):
            return None
        sandbox = seen.sandbox()
        ips = self._node.ips if pods.host_network(pod) or sandbox is None else sandbox.ips
        return Target(container, container_id, ips[0] if ips else "")

    def _failed(self, pod: Json, start: Start, error: Exception, reason: str, retry: float | None = None) -> Outcome:
        reason = getattr(error, "reason", "") or reason
        self._recorder.pod(pod, "Failed", f"Error: {error}", warning=True, container=start.name)
        container = pods.find_container(pod, start.name) or {}
        final = reason == "RunContainerError" and restarts.never_restarts(pod, container)
        if retry is None and reason != "RunContainerError":
            retry = _RETRY_CONFIG
        return Outcome(Problem(reason, str(error), self._clock.now(), final), retry)

    async def kill(self, pod: Json, kills: Sequence[Kill], seen: Observation) -> None:
        """All side by side; each within its grace, of which its preStop hook and waiting for its turn take a part."""
        ended = {each.id: asyncio.Event() for each in kills}
        await every(self._kill(pod, each, self._target(pod, each.name, each.id, seen), ended) for each in kills)

    async def _kill(self, pod: Json, kill: Kill, target: Target | None, ended: Mapping[str, asyncio.Event]) -> None:
        begun = self._clock.monotonic()
        self._recorder.pod(pod, "Killing", kill.message or f"Stopping container {kill.name}", container=kill.name)
        try:
            if target is not None:
                await self._hooks.pre_stop(pod, target, kill.grace)
            if kill.after and (left := kill.grace - (self._clock.monotonic() - begun)) > 0:
                await _turn([ended[each] for each in kill.after if each in ended], left)
            grace = max(kill.grace - int(self._clock.monotonic() - begun), min(kill.grace, SHORTEST_GRACE))
            with suppress(NotFound):
                await self._runtime.stop_container(v1.StopContainerRequest(container_id=kill.id, timeout=grace))
        finally:
            ended[kill.id].set()

    async def remove_container(self, container_id: str) -> None:
        self._hooks.forget(container_id)
        await self._runtime.remove_container(v1.RemoveContainerRequest(container_id=container_id))

    # --- what is left ----------------------------------------------------------------------------------------------------------

    def message(self, pod: Json, container: Container) -> str:
        """The termination message of an instance that has ended."""
        spec = pods.find_container(pod, container.name) or {}
        limit = min(termination.MESSAGE_BYTES, termination.POD_BYTES // max(len(list(pods.all_containers(pod))), 1))
        text = self._volumes.message(pods.uid(pod), container.name, container.attempt, limit)
        fallback = spec.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        if not text and fallback and container.exit_code != 0 and container.reason != "StartError":
            text = logs.tail_text(self._config.log_dir, self.log_path(pod, container), _TAIL_LINES, _TAIL_BYTES)
        if not text and container.exit_code != 0 and sharing.shared(pod):
            said = logs.tail_text(self._config.log_dir, self.log_path(pod, container), _TAIL_LINES, _TAIL_BYTES)
            text = sharing.pid_1_said(said)
            if text:
                self._recorder.pod(pod, "WantsPID1", text, warning=True, container=container.name)
        return text

    @staticmethod
    def log_path(pod: Json, container: Container) -> str:
        """Below the log root."""
        return f"{containers.log_directory(pod)}/{containers.log_path(container.name, container.attempt)}"

    async def clean(self, pod: Json, seen: Observation) -> None:
        """Everything of a Pod whose containers have ended: sandboxes, containers, files, cgroup, logs. Idempotent."""
        stops = [self.stop_sandbox(each.id) for each in seen.sandboxes]
        await every([*stops, *(self.remove_container(each.id) for each in seen.containers)])
        await every(self.remove_sandbox(each.id) for each in seen.sandboxes)
        uid = pods.uid(pod)
        await every((self._volumes.remove(uid), self._cgroups.remove(uid)))
        await asyncio.to_thread(removal.remove, self._config.log_dir / containers.log_directory(pod))


def _target(container: Json, seen: Observation) -> str:
    """The instance whose processes an ephemeral container asks to see; Invalid where there is none yet."""
    name = container.get("targetContainerName")
    if not name:
        return ""
    latest = seen.latest(name)
    if latest is None:
        raise Invalid(f"{NO_TARGET} {name}", reason="CreateContainerConfigError")
    return latest.id


async def _turn(before: Iterable[asyncio.Event], seconds: float) -> None:
    """Until all have happened, or `seconds` are over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            for each in before:
                await each.wait()


async def every(awaitables: Iterable[Awaitable[Any]]) -> list[Any]:
    """All run to their end, whatever the others do, so that nothing goes on behind the caller's back; then the first failure is raised."""
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
