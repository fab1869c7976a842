"""Cgroups of Pods, by quality of service: `<parent>/kubepods/[burstable|besteffort]/pod<uid>`, Guaranteed ones at the top.

Source: kubelet cm/pod_container_manager_linux.go, qos_container_manager_linux.go.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from polong.kit.errors import FailedPrecondition
from polong.kubelet.resources import PodLimits, pod_limits
from polong.linux.cgroups import Cgroups
from polong.objects import pod as pods

Json = dict[str, Any]

_CLASSES = {"Guaranteed": "", "Burstable": "/burstable", "BestEffort": "/besteffort"}
_MIN_SHARES = 2


class PodCgroups:
    def __init__(self, parent: str, cgroups: Cgroups | None = None, pids: int = 0) -> None:
        """`pids` bounds the processes of one Pod; 0 leaves them unbounded."""
        self._parent = parent
        self._top = f"{parent.rstrip('/')}/kubepods"
        self._cgroups = cgroups or Cgroups()
        self._pids = pids

    def path(self, pod: Json) -> str:
        return f"{self._top}{_CLASSES[pods.qos_class(pod)]}/pod{_plain(pods.uid(pod))}"

    async def create(self, pod: Json) -> str:
        """The path, made in every hierarchy, with the Pod's limits. Idempotent."""
        path = self.path(pod)
        await asyncio.to_thread(self._cgroups.create, path, self._resources(pod_limits(pod)))
        return path

    async def limit(self, pod: Json, limits: PodLimits) -> None:
        """Set them on the cgroup as it is. OSError where the kernel refuses."""
        await asyncio.to_thread(self._cgroups.update, self.path(pod), self._resources(limits))

    def _resources(self, limits: PodLimits) -> Json:
        resources: Json = {"cpu": {"shares": limits.shares, "period": limits.period}}
        if limits.quota is not None:
            resources["cpu"]["quota"] = limits.quota
        if limits.memory is not None:
            resources["memory"] = {"limit": limits.memory}
        if self._pids:
            resources["pids"] = {"limit": self._pids}
        return resources

    async def remove(self, uid: str) -> None:
        """End whatever still runs in it, and delete it. Idempotent. Internal or OSError where the kernel does not let go."""
        for each in _CLASSES.values():
            path = f"{self._top}{each}/pod{_plain(uid)}"
            if self._cgroups.exists(path):
                await self._cgroups.kill(path)
                await asyncio.to_thread(self._cgroups.delete, path)

    def held(self) -> set[str]:
        """UIDs that have a cgroup."""
        found = set()
        for each in _CLASSES.values():
            for directory in self._cgroups.directories(f"{self._top}{each}"):
                found |= {
                    entry.name.removeprefix("pod") for entry in directory.iterdir() if entry.name.startswith("pod") and entry.is_dir()
                }
        return found

    async def remove_all(self) -> None:
        """The node's own levels, once the last Pod is gone; what is not empty stays."""
        with suppress(OSError):
            if not self.held():
                await asyncio.to_thread(self._cgroups.delete, self._top)


def _plain(uid: str) -> str:
    if not uid or not all(each.isalnum() or each == "-" for each in uid) or not uid.isascii():
        raise FailedPrecondition(f"{uid[:60]!r} is not a uid")
    return uid
