"""Limits of local storage: a Pod that takes more of the disk than it may is evicted. The kernel does not hold such limits; the kubelet
looks now and then, and only at Pods that have one.

Source: kubelet eviction/eviction_manager.go (localStorageEviction); the texts are Kubernetes'.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polong.criapi.wire import v1
from polong.kit.clock import Clock
from polong.kit.errors import PolongError
from polong.kubelet import containers
from polong.kubelet.config import KubeletConfig
from polong.kubelet.decisions import Verdict
from polong.kubelet.events import Recorder
from polong.kubelet.identity import label
from polong.kubelet.ports import RuntimeService
from polong.kubelet.volumes import Volumes, usage
from polong.objects import pod as pods
from polong.objects import quantity

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_RESOURCE = "ephemeral-storage"

Running = Callable[[], Iterable[Json]]
Fail = Callable[[str, Verdict], None]


@dataclass(frozen=True)
class Taken:
    """Bytes on the disk: by volume (emptyDir) and by container (writable layer and logs)."""

    volumes: Mapping[str, int] = field(default_factory=dict)
    containers: Mapping[str, int] = field(default_factory=dict)


def is_limited(pod: Json) -> bool:
    return bool(_sizes(pod) or _limits(pod))


def excess(pod: Json, taken: Taken) -> str:
    """What is over its limit, as status.message tells it; empty where nothing is. Pure."""
    for name, limit in _sizes(pod).items():
        if taken.volumes.get(name, 0) > quantity.value(limit):
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{quantity.canonical(limit)}". '
    limits = _limits(pod)
    total = sum(quantity.value(each) for each in limits.values())
    if limits and sum(taken.volumes.values()) + sum(taken.containers.values()) > total:
        told = quantity.canonical(next(iter(limits.values()))) if len(limits) == 1 else str(total)
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {told}. "
    for name, limit in limits.items():
        if taken.containers.get(name, 0) > quantity.value(limit):
            return f'Container {name} exceeded its local ephemeral storage limit "{quantity.canonical(limit)}". '
    return ""


def _sizes(pod: Json) -> dict[str, Any]:
    """sizeLimit by emptyDir on disk: one in memory is limited by its tmpfs."""
    found = {}
    for volume in pods.spec(pod).get("volumes") or ():
        source = volume.get("emptyDir") or {}
        if source.get("sizeLimit") and source.get("medium", "") == "" and quantity.value(source["sizeLimit"]):
            found[volume["name"]] = source["sizeLimit"]
    return found


def _limits(pod: Json) -> dict[str, Any]:
    found = {}
    for container in pods.containers(pod):
        limit = ((container.get("resources") or {}).get("limits") or {}).get(_RESOURCE)
        if limit is not None:
            found[container["name"]] = limit
    return found


class LocalStorage:
    def __init__(self, config: KubeletConfig, runtime: RuntimeService, volumes: Volumes, recorder: Recorder, clock: Clock) -> None:
        self._config = config
        self._runtime = runtime
        self._volumes = volumes
        self._recorder = recorder
        self._clock = clock

    async def run(self, running: Running, fail: Fail) -> None:
        """Forever: `running` gives the Pods that may still use something, `fail` ends one by UID."""
        while True:
            await self._clock.sleep(self._config.eviction_period)
            for pod in [each for each in running() if is_limited(each)]:
                try:
                    await self._look(pod, fail)
                except (PolongError, OSError) as error:
                    _log.warning("Pod %s: cannot measure its local storage: %s", label(pod), error)

    async def _look(self, pod: Json, fail: Fail) -> None:
        if text := excess(pod, await self._taken(pod)):
            self._recorder.pod(pod, "Evicted", text, warning=True)
            fail(pods.uid(pod), Verdict("Evicted", text, 0, disruption=True))

    async def _taken(self, pod: Json) -> Taken:
        limited = _limits(pod)
        sizes = {name: quantity.value(limit) for name, limit in _sizes(pod).items()}
        enough = {} if limited else sizes
        volumes = await asyncio.to_thread(self._volumes.empty_directories, pod, enough)
        if not limited:
            return Taken({name: volumes[name] for name in sizes if name in volumes})
        selector = {containers.POD_UID: pods.uid(pod)}
        answer = await self._runtime.list_container_stats(
            v1.ListContainerStatsRequest(filter=v1.ContainerStatsFilter(label_selector=selector))
        )
        taken = {each.attributes.labels.get(containers.CONTAINER_NAME, ""): each.writable_layer.used_bytes.value for each in answer.stats}
        logs = await asyncio.to_thread(_logs, self._config.log_dir / containers.log_directory(pod), list(taken))
        return Taken(volumes, {name: layer + logs[name] for name, layer in taken.items()})


def _logs(directory: Path, names: list[str]) -> dict[str, int]:
    return {name: usage.used(directory / name) for name in names}
