"""The sandboxes and containers of this node in memory, their locks, and the names that are taken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from polong.cri.kernel import Process
from polong.cri.records import container, sandbox
from polong.cri.records.container import ContainerRecord
from polong.cri.records.sandbox import SandboxRecord
from polong.criapi.wire import v1
from polong.kit.errors import AlreadyExists, FailedPrecondition, NotFound


class Sandbox:
    """`over` is set once it is not ready any more. `changing` orders stop and remove; creations run beside each other, counted."""

    def __init__(self, record: SandboxRecord, config: v1.PodSandboxConfig, pause: Process | None = None) -> None:
        self.record = record
        self.config = config
        self.pause = pause
        self.changing = asyncio.Lock()
        self.over = asyncio.Event()
        self.closing = False
        self._creations = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def ready(self) -> bool:
        return sandbox.state(self.record) == v1.SANDBOX_READY and not self.closing

    @contextmanager
    def creation(self) -> Iterator[None]:
        """A container is being made in it. FailedPrecondition where it is not ready; who makes it looks again at the end."""
        if not self.ready:
            raise FailedPrecondition(f"sandbox {self.id} is not ready: no container can be made in it")
        self._creations += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._creations -= 1
            if self._creations == 0:
                self._idle.set()

    async def close_to_creations(self) -> None:
        """From now on no container is made in it; wait for those on the way."""
        self.closing = True
        await self._idle.wait()


class Container:
    """`over` is set once its exit is recorded. `changing` orders create, start, update and remove; a stop waits beside a start.
    `execs` are the commands of ExecSync that run now, by host PID."""

    def __init__(self, record: ContainerRecord, config: v1.ContainerConfig) -> None:
        self.record = record
        self.config = config
        self.main: Process | None = None
        self.conmon: Process | None = None
        self.changing = asyncio.Lock()
        self.over = asyncio.Event()
        self.start_error = record.refused
        self.execs: dict[int, list[str]] = {}
        if record.finished_at:
            self.over.set()

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def state(self) -> v1.ContainerState.ValueType:
        return container.state(self.record)


class Table:
    def __init__(self) -> None:
        self.sandboxes: dict[str, Sandbox] = {}
        self.containers: dict[str, Container] = {}
        self._names: dict[tuple[str | int, ...], str] = {}

    def sandbox(self, sandbox_id: str) -> Sandbox:
        found = self.sandboxes.get(sandbox_id)
        if found is None:
            raise NotFound(f"no such sandbox: {sandbox_id}")
        return found

    def container(self, container_id: str) -> Container:
        found = self.containers.get(container_id)
        if found is None:
            raise NotFound(f"no such container: {container_id}")
        return found

    def running(self, container_id: str) -> Container:
        """The container, FailedPrecondition where its main process does not run."""
        found = self.container(container_id)
        if found.state != v1.CONTAINER_RUNNING:
            raise FailedPrecondition(f"container {container_id} is not running: {v1.ContainerState.Name(found.state)}")
        return found

    def record(self, container_id: str) -> ContainerRecord | None:
        found = self.containers.get(container_id)
        return None if found is None else found.record

    def containers_of(self, sandbox_id: str) -> list[Container]:
        return [each for each in self.containers.values() if each.record.sandbox_id == sandbox_id]

    def reserve(self, name: tuple[str | int, ...], owner: str) -> None:
        """Take a name; AlreadyExists where another id has it. The same attempt of the same Pod or container never runs twice."""
        holder = self._names.setdefault(name, owner)
        if holder != owner:
            raise AlreadyExists(f'name "{"_".join(map(str, name))}" is reserved for "{holder}"')

    def release(self, owner: str) -> None:
        """Give back every name of `owner`. Idempotent."""
        for name in [name for name, holder in self._names.items() if holder == owner]:
            del self._names[name]


def sandbox_name(metadata: v1.PodSandboxMetadata) -> tuple[str | int, ...]:
    return ("sandbox", metadata.namespace, metadata.name, metadata.uid, metadata.attempt)


def container_name(sandbox_id: str, metadata: v1.ContainerMetadata) -> tuple[str | int, ...]:
    return ("container", sandbox_id, metadata.name, metadata.attempt)
