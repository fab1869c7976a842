"""Which static Pods run: the manifests are read, and their Pods started and ended like any others; the API is told by mirrors.

A file that can no longer be read leaves the Pod that it described last: a slip of the editor ends nothing. Where a file changes, its Pod
of before ends first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from polong.kit.clock import Clock, rfc3339
from polong.kit.tasks import Tasks
from polong.kubelet.config import KubeletConfig
from polong.kubelet.events import Recorder
from polong.kubelet.host import manifests
from polong.kubelet.mirrors import Mirrors
from polong.kubelet.staticpods import Complete, Manifests
from polong.kubelet.staticpods import manifests as read_all
from polong.objects import pod as pods

Json = dict[str, Any]

_log = logging.getLogger(__name__)


class Workers(Protocol):
    """The agent's, as far as static Pods are concerned."""

    def running(self) -> Mapping[str, Json]:
        """Every Pod that has a worker, by UID."""
        ...

    def begin(self, pod: Json) -> None: ...

    def end(self, pod: Json) -> None:
        """`pod` with a deletionTimestamp."""
        ...


class Statics:
    def __init__(
        self, config: KubeletConfig, workers: Workers, mirrors: Mirrors, recorder: Recorder, clock: Clock, complete: Complete
    ) -> None:
        self._config = config
        self._workers = workers
        self._mirrors = mirrors
        self._recorder = recorder
        self._clock = clock
        self._complete = complete
        self._wanted: dict[str, Json] = {}
        self._paths: dict[str, str] = {}
        self._problems: Mapping[str, str] = {}
        self._dirty = asyncio.Event()
        self._stopped = False

    async def load(self) -> None:
        """Read the manifests, once."""
        place = self._config.static_pods
        if place is None or self._stopped:
            return
        files = await asyncio.to_thread(manifests.read, place)
        found = read_all(files, self._config.node_name, rfc3339(self._clock.now()), self._complete)
        self._tell(found)
        kept = {
            uid: self._wanted[uid]
            for path, uid in self._paths.items()
            if path in found.problems and uid in self._wanted and uid not in found.pods
        }
        # Seen first stays seen first.
        fresh = {uid: self._wanted.get(uid, pod) for uid, pod in found.pods.items()}
        self._wanted = kept | fresh
        self._paths = {path: uid for path, uid in self._paths.items() if uid in kept} | dict(found.paths)

    def _tell(self, found: Manifests) -> None:
        for path, problem in found.problems.items():
            if self._problems.get(path) != problem:
                _log.warning("cannot take the manifest %s: %s", path, problem)
                self._recorder.node("InvalidStaticPod", f"{path}: {problem}", warning=True)
        self._problems = found.problems

    async def run(self) -> None:
        """Forever."""
        place = self._config.static_pods
        if place is None:
            return
        tasks = Tasks("static Pods")
        try:
            _ = tasks.start(manifests.changes(place, self._config.static_period, self._clock, self._dirty.set), "changes")
            while True:
                await self._dirty.wait()
                self._dirty.clear()
                await self.load()
                self.settle()
        finally:
            await tasks.aclose()

    def settle(self) -> None:
        """End what is no longer wanted, begin what is, one Pod of a name after the other."""
        running = {uid: pod for uid, pod in self._workers.running().items() if pods.is_static(pod)}
        for uid, pod in running.items():
            if uid not in self._wanted and not pods.is_terminating(pod):
                self._workers.end(_ended(pod, rfc3339(self._clock.now())))
        places = {(pods.namespace(pod), pods.name(pod)) for pod in running.values()}
        for uid, pod in self._wanted.items():
            if uid not in running and (pods.namespace(pod), pods.name(pod)) not in places:
                before = self._mirrors.status_of(pod)
                self._mirrors.show(pod)
                self._workers.begin({**pod, "status": before} if before else pod)

    def gone(self, uid: str) -> None:
        """The worker of that Pod has done its work."""
        self._mirrors.hide(uid)
        self.settle()

    def stop(self) -> int:
        """No static Pod any more; the longest grace that one of them has."""
        self._stopped = True
        self._wanted = {}
        self.settle()
        return max((pods.grace_seconds(each) for each in self._workers.running().values() if pods.is_static(each)), default=0)


def _ended(pod: Json, now: str) -> Json:
    metadata = {**pod["metadata"], "deletionTimestamp": now, "deletionGracePeriodSeconds": pods.grace_seconds(pod)}
    return {**pod, "metadata": metadata}
