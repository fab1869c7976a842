"""NoExecute: Pods that do not tolerate a taint of their node leave it, at once or after their tolerationSeconds.

Source: pkg/controller/tainteviction. Seconds are counted from when this process saw Pod and taint together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from polong.api.controllers import deletion
from polong.api.eventlog import EventLog
from polong.api.follow import follow
from polong.api.objectstore import ObjectStore
from polong.api.resources.kind import Kind
from polong.api.resources.nodes import Nodes
from polong.api.scheduling.fit import tolerates
from polong.kit.clock import Clock, rfc3339
from polong.kit.errors import Conflict, NotFound
from polong.objects import conditions
from polong.objects import pod as pods

Json = dict[str, Any]

_NODES = Nodes()
_CONDITION = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "DeletionByTaintManager",
    "message": "Taint manager: deleting due to NoExecute taint",
    "lastProbeTime": None,
}


def patience(pod: Json, taints: Sequence[Json]) -> float | None:
    """How many seconds the Pod may stay under these NoExecute taints: 0 not at all, None for ever. Pure."""
    used = []
    for taint in taints:
        matching = [each for each in pods.spec(pod).get("tolerations") or () if tolerates(each, taint)]
        if not matching:
            return 0
        used += matching
    limits = [max(0, int(each["tolerationSeconds"])) for each in used if each.get("tolerationSeconds") is not None]
    return min(limits, default=None)


class TaintEviction:
    """`watch_nodes`, `watch_pods` and `run` go on for ever."""

    def __init__(self, store: ObjectStore, pods_kind: Kind, clock: Clock) -> None:
        self._store = store
        self._pods = pods_kind
        self._clock = clock
        self._events = EventLog(store, clock, "taint-eviction-controller")
        self._taints: dict[str, list[Json]] = {}
        self._here: dict[str, Json] = {}
        self._due: dict[str, tuple[float, float]] = {}
        """By UID: when the Pod was first seen under a taint, and when it goes; monotonic."""
        self._wake = asyncio.Event()

    async def watch_nodes(self) -> None:
        async for change in follow(self._store, _NODES):
            if change.all is not None:
                self._taints = {node["metadata"]["name"]: _no_execute(node) for node in change.all}
            elif change.now is not None:
                self._taints[change.now["metadata"]["name"]] = _no_execute(change.now)
            elif change.before is not None:
                self._taints.pop(change.before["metadata"]["name"], None)
            for pod in list(self._here.values()):
                await self._consider(pod)

    async def watch_pods(self) -> None:
        async for change in follow(self._store, self._pods):
            if change.all is not None:
                self._here = {pods.uid(pod): pod for pod in change.all}
                for pod in change.all:
                    await self._consider(pod)
            elif change.now is not None:
                self._here[pods.uid(change.now)] = change.now
                await self._consider(change.now)
            elif change.before is not None:
                self._here.pop(pods.uid(change.before), None)
                self._due.pop(pods.uid(change.before), None)

    async def _consider(self, pod: Json) -> None:
        uid = pods.uid(pod)
        taints = self._taints.get(pods.spec(pod).get("nodeName", ""))
        stays = patience(pod, taints) if taints and not pods.is_terminating(pod) and not pods.is_finished(pod) else None
        known = self._due.get(uid)
        if stays is None:
            if known is not None:
                del self._due[uid]
                if not pods.is_terminating(pod):
                    await self._tell(pod, "Cancelling deletion of Pod")
            return
        since = known[0] if known else self._clock.monotonic()
        self._due[uid] = (since, since + stays)
        self._wake.set()

    async def run(self) -> None:
        while True:
            now = self._clock.monotonic()
            for uid in [uid for uid, (_, when) in self._due.items() if when <= now]:
                del self._due[uid]
                if uid in self._here:
                    await self._evict(self._here[uid])
            self._wake.clear()
            soonest = min((when for _, when in self._due.values()), default=None)
            try:
                async with asyncio.timeout(None if soonest is None else max(0.0, soonest - self._clock.monotonic())):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _evict(self, pod: Json) -> None:
        await self._tell(pod, "Marking for deletion Pod")
        while (found := await self._store.find(self._pods, pods.namespace(pod), pods.name(pod))) is not None:
            now, revision = found
            if pods.uid(now) != pods.uid(pod) or pods.is_terminating(now):
                return
            listed = conditions.with_condition(pods.status(now).get("conditions"), _CONDITION, rfc3339(self._clock.now()))
            try:
                told = await self._store.update(self._pods, {**now, "status": {**pods.status(now), "conditions": listed}}, revision)
            except Conflict:
                continue
            except NotFound:
                return
            await deletion.delete(self._store, self._clock, self._pods, told)
            return

    async def _tell(self, pod: Json, what: str) -> None:
        await self._events.record(pod, "TaintManagerEviction", f"{what} {pods.namespace(pod)}/{pods.name(pod)}")


def _no_execute(node: Json) -> list[Json]:
    return [taint for taint in (node.get("spec") or {}).get("taints") or () if taint.get("effect") == "NoExecute"]
