"""The Services that Pods of this node may be told of: watched as a whole, as Kubernetes' kubelet does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from polong.client.informer import Informer
from polong.kit.clock import Clock
from polong.kit.errors import Unavailable
from polong.kit.tasks import Tasks
from polong.kubelet import services
from polong.kubelet.config import CLUSTER_DOMAIN
from polong.kubelet.ports import Api
from polong.objects import pod as pods

Json = dict[str, Any]

_FIRST = 10.0
_TOGETHER = 0.1
"""Seconds in which changes are told once: every Pod's file is written for each."""


class Directory:
    """`changed` is awaited when names may have changed, some time after they did; one call ends before the next begins."""

    def __init__(self, api: Api, clock: Clock, changed: Callable[[], Awaitable[None]]) -> None:
        self._clock = clock
        self._changed = changed
        self._tasks = Tasks("services")
        self._services = Informer(api.services, self._told, clock)
        self._slices = Informer(api.endpoint_slices, self._told, clock)
        self._names: dict[str, list[tuple[str, Sequence[str]]]] = {}
        self._wake = asyncio.Event()

    def start(self) -> None:
        for name, work in (("services", self._services.run()), ("slices", self._slices.run()), ("changes", self._run())):
            _ = self._tasks.start(work, name)

    async def aclose(self) -> None:
        await self._tasks.aclose()

    def _told(self) -> None:
        self._names.clear()
        self._wake.set()

    async def _run(self) -> None:
        await self.ready()
        while True:
            await self._wake.wait()
            await self._clock.sleep(_TOGETHER)
            self._wake.clear()
            await self._changed()

    async def ready(self) -> None:
        """Back when the first lists are in. Unavailable."""
        try:
            async with asyncio.timeout(_FIRST):
                await self._services.synced.wait()
                await self._slices.synced.wait()
        except TimeoutError as error:
            raise Unavailable("services have not yet been read at least once, cannot construct envvars") from error

    async def variables(self, pod: Json) -> Mapping[str, str]:
        await self.ready()
        links = pods.spec(pod).get("enableServiceLinks") is not False
        return services.variables(self._services.objects.values(), pods.namespace(pod), links=links)

    def names(self, pod: Json) -> Sequence[tuple[str, Sequence[str]]] | None:
        """(address, names) for the Pod's /etc/hosts; None where it does not want the cluster's names."""
        policy = pods.spec(pod).get("dnsPolicy", "ClusterFirst")
        if policy != "ClusterFirstWithHostNet" and (policy != "ClusterFirst" or pods.host_network(pod)):
            return None
        namespace = pods.namespace(pod)
        if namespace not in self._names:
            every = (self._services.objects.values(), self._slices.objects.values())
            self._names[namespace] = services.names(*every, namespace, CLUSTER_DOMAIN)
        return self._names[namespace]
