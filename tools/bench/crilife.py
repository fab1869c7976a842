"""A server of CRI v1 as the benchmark uses it: one Pod's life call by call, and pulls. What is timed is a call over the socket."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from grpclib.client import Channel, UnaryUnaryMethod
from tools.bench.engine import timed

from polong.criapi.wire import v1

# The calls that are timed, in the order of a life.
STEPS = ("RunPodSandbox", "CreateContainer", "StartContainer", "StopPodSandbox", "RemovePodSandbox")
_T = TypeVar("_T")
_IMAGES = ("PullImage", "RemoveImage", "ImageStatus")


class CriLife:
    """`call` blocks; every message is named after its call."""

    def __init__(self, socket: Path, directory: Path, cgroup: str) -> None:
        self._socket, self._directory, self._cgroup = socket, directory, cgroup
        self._loop = asyncio.new_event_loop()
        self._channel: Channel | None = None

    def call(self, name: str, request: Any) -> Any:
        return self.wait(self.send(name, request))

    def wait(self, awaitable: Coroutine[Any, Any, _T]) -> _T:
        return self._loop.run_until_complete(awaitable)

    async def send(self, name: str, request: Any) -> Any:
        if self._channel is None:
            self._channel = Channel(path=str(self._socket))
        service = "ImageService" if name in _IMAGES else "RuntimeService"
        kinds = getattr(v1, f"{name}Request"), getattr(v1, f"{name}Response")
        return await UnaryUnaryMethod(self._channel, f"/runtime.v1.{service}/{name}", *kinds)(request, timeout=120)

    def ready(self) -> bool:
        try:
            self.call("Version", v1.VersionRequest())
        except Exception:  # any failure of a server that is not up yet: asked again until the deadline
            return False
        return True

    def life(self, number: int, image: str) -> dict[str, float]:
        """Seconds of each of STEPS, for a Pod of one container that runs `sleep`."""
        logs = self._directory / "logs" / f"life-{number}"
        logs.mkdir(parents=True, exist_ok=True)
        config = v1.PodSandboxConfig(hostname=f"life-{number}", log_directory=str(logs))
        config.metadata.CopyFrom(v1.PodSandboxMetadata(name=f"life-{number}", uid=f"life-{number}", namespace="default"))
        config.linux.cgroup_parent = f"{self._cgroup}/life-{number}"
        container = v1.ContainerConfig(metadata=v1.ContainerMetadata(name="c"), image=v1.ImageSpec(image=image), log_path="c.log")
        container.command.extend(["sleep", "3600"])
        for security in (config.linux.security_context, container.linux.security_context):
            security.namespace_options.pid = v1.POD
            security.seccomp.profile_type = v1.SecurityProfile.RuntimeDefault
        took: dict[str, float] = {}

        def step(name: str, request: Any) -> Any:
            answers: list[Any] = []
            took[name] = timed(lambda: answers.append(self.call(name, request)))
            return answers[0]

        sandbox = step("RunPodSandbox", v1.RunPodSandboxRequest(config=config)).pod_sandbox_id
        create = v1.CreateContainerRequest(pod_sandbox_id=sandbox, config=container, sandbox_config=config)
        step("StartContainer", v1.StartContainerRequest(container_id=step("CreateContainer", create).container_id))
        step("StopPodSandbox", v1.StopPodSandboxRequest(pod_sandbox_id=sandbox))
        step("RemovePodSandbox", v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox))
        return took

    def pull(self, image: str) -> float:
        """An image that is not there; it is taken away again."""
        request = v1.PullImageRequest(image=v1.ImageSpec(image=image))
        took = timed(lambda: self.call("PullImage", request))
        self.call("RemoveImage", v1.RemoveImageRequest(image=v1.ImageSpec(image=image)))
        return took

    def keep(self, image: str) -> None:
        self.call("PullImage", v1.PullImageRequest(image=v1.ImageSpec(image=image)))

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._loop.close()
