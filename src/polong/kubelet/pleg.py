"""Seeing what the runtime holds (the Pod life cycle event generator): container events tell at once that a Pod changed, a slow relist
finds what no event told. Nobody acts on an event's content: the worker observes again.

Source: kubelet pleg/generic.go, pleg/evented.go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any

from polong.criapi.wire import v1
from polong.kit import signals
from polong.kit.clock import Clock, from_nanoseconds
from polong.kit.errors import NotFound, PolongError
from polong.kubelet import containers
from polong.kubelet.observation import Applied, Container, Identity, Observation, Sandbox, State, arrange
from polong.kubelet.ports import RuntimeService
from polong.kubelet.resources import PERIOD

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_STATES: Mapping[int, State] = {0: "created", 1: "running", 2: "exited", 3: "unknown"}
_RETRY = 1.0


def sandbox_of(status: v1.PodSandboxStatus) -> Sandbox:
    addresses = (status.network.ip, *(each.ip for each in status.network.additional_ips))
    return Sandbox(
        id=status.id,
        attempt=status.metadata.attempt,
        ready=status.state == v1.PodSandboxState.SANDBOX_READY,
        created=from_nanoseconds(status.created_at),
        ips=tuple(each for each in addresses if each),
    )


def container_of(status: v1.ContainerStatus, sandbox_id: str) -> Container:
    return Container(
        id=status.id,
        name=status.metadata.name,
        sandbox_id=sandbox_id,
        attempt=status.metadata.attempt,
        state=_STATES.get(status.state, "unknown"),
        created=from_nanoseconds(status.created_at),
        started=from_nanoseconds(status.started_at) if status.started_at else None,
        finished=from_nanoseconds(status.finished_at) if status.finished_at else None,
        exit_code=status.exit_code,
        reason=status.reason,
        message=status.message,
        image=status.image.user_specified_image or status.image.image,
        image_id=status.image_id,
        image_ref=status.image_ref,
        spec_hash=status.annotations.get(containers.HASH, ""),
        log_path=status.log_path,
        applied=applied_of(status.resources.linux) if status.resources.HasField("linux") else None,
        stop_signal=signals.pod_name(v1.Signal.Name(status.stop_signal)) if status.stop_signal != v1.RUNTIME_DEFAULT else "",
        user=identity_of(status.user.linux) if status.user.HasField("linux") else None,
    )


def identity_of(user: v1.LinuxContainerUser) -> Identity:
    return Identity(user.uid, user.gid, tuple(user.supplemental_groups))


def applied_of(resources: v1.LinuxContainerResources) -> Applied:
    quota = max(resources.cpu_quota, 0) * PERIOD // (resources.cpu_period or PERIOD)
    return Applied(resources.cpu_shares, quota, max(resources.memory_limit_in_bytes, 0))


class Pleg:
    """`notify` is called with the UID of a Pod whose sandboxes or containers changed."""

    def __init__(self, runtime: RuntimeService, clock: Clock, notify: Callable[[str], None], period: float) -> None:
        self._runtime = runtime
        self._clock = clock
        self._notify = notify
        self._period = period
        self._prints: dict[str, frozenset[tuple[str, int]]] = {}

    async def observe(self, uid: str) -> Observation:
        """All that the runtime holds for one Pod, now."""
        selector = {containers.POD_UID: uid}
        listed = await self._runtime.list_pod_sandbox(v1.ListPodSandboxRequest(filter=v1.PodSandboxFilter(label_selector=selector)))
        sandboxes = []
        name = namespace = ""
        for item in listed.items:
            name, namespace = item.metadata.name, item.metadata.namespace
            with suppress(NotFound):
                answer = await self._runtime.pod_sandbox_status(v1.PodSandboxStatusRequest(pod_sandbox_id=item.id))
                sandboxes.append(sandbox_of(answer.status))
        found = []
        held = await self._runtime.list_containers(v1.ListContainersRequest(filter=v1.ContainerFilter(label_selector=selector)))
        for entry in held.containers:
            with suppress(NotFound):
                status = await self._runtime.container_status(v1.ContainerStatusRequest(container_id=entry.id))
                found.append(container_of(status.status, entry.pod_sandbox_id))
        return arrange(sandboxes, found, name=name, namespace=namespace)

    async def held(self) -> set[str]:
        """UIDs of all Pods of which the runtime holds anything; those that changed since the last call are notified."""
        prints: dict[str, set[tuple[str, int]]] = {}
        sandboxes = await self._runtime.list_pod_sandbox(v1.ListPodSandboxRequest())
        for sandbox in sandboxes.items:
            prints.setdefault(sandbox.metadata.uid, set()).add((sandbox.id, int(sandbox.state)))
        listed = await self._runtime.list_containers(v1.ListContainersRequest())
        for container in listed.containers:
            prints.setdefault(container.labels.get(containers.POD_UID, ""), set()).add((container.id, int(container.state)))
        fresh = {uid: frozenset(states) for uid, states in prints.items() if uid}
        changed = [uid for uid in fresh.keys() | self._prints.keys() if fresh.get(uid) != self._prints.get(uid)]
        self._prints = fresh
        for uid in changed:
            self._notify(uid)
        return set(fresh)

    async def relist(self) -> None:
        """Forever."""
        while True:
            await self._clock.sleep(self._period)
            try:
                await self.held()
            except PolongError as error:
                _log.warning("cannot list containers: %s", error)

    async def events(self) -> None:
        """Forever. A lost stream costs nothing but time: the relist sees what it would have told."""
        while True:
            try:
                stream = self._runtime.get_container_events(v1.GetEventsRequest())
                async with aclosing(stream) as each:  # type: ignore[type-var]
                    async for event in each:
                        uid = event.pod_sandbox_status.metadata.uid
                        if uid:
                            self._notify(uid)
                        else:
                            await self.held()
            except PolongError as error:
                _log.info("container events interrupted: %s", error)
            await self._clock.sleep(_RETRY)
