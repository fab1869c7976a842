"""Kubernetes Events of the node: never on the hot path, bounded, equal ones counted instead of repeated.

Source: core/v1 Event; client-go tools/record (aggregation by object, reason and message; correlation lasts ten minutes).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Any

from polong.kit.clock import Clock, rfc3339
from polong.kit.errors import NotFound, PolongError
from polong.kubelet.ports import Api
from polong.objects import pod as pods

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_QUEUE = 1_000
_REMEMBERED = 4_096
_CORRELATED = 600.0
_MESSAGE = 1_024
_LATER = 0.2


@dataclass
class _Seen:
    name: str
    count: int
    at: float


@dataclass(frozen=True)
class Note:
    """One thing that happened, and when: `nanoseconds` since the epoch tell apart what happened in one second, no two notes share them."""

    involved: Json
    kind: str
    reason: str
    message: str
    component: str
    time: str
    nanoseconds: int


class Recorder:
    """`pod` and `node` only enqueue; `run` writes. What does not fit the queue is dropped, with one line in the log.

    `counts`: how often, by type and reason."""

    def __init__(self, api: Api, node_name: str, clock: Clock) -> None:
        self._api = api
        self._node = node_name
        self._clock = clock
        self._queue: asyncio.Queue[Note] = asyncio.Queue(_QUEUE)
        self._last = 0
        self._seen: OrderedDict[tuple[str, ...], _Seen] = OrderedDict()
        self.counts: Counter[tuple[str, str]] = Counter()

    def pod(self, pod: Json, reason: str, message: str, *, warning: bool = False, container: str = "", component: str = "kubelet") -> None:
        involved = {
            "kind": "Pod",
            "apiVersion": "v1",
            "namespace": pods.namespace(pod),
            "name": pods.name(pod),
            "uid": pods.uid(pod),
        }
        if version := pod["metadata"].get("resourceVersion"):
            involved["resourceVersion"] = version
        if container:
            field = next((field for field, _, each in pods.all_containers(pod) if each["name"] == container), "containers")
            involved["fieldPath"] = f"spec.{field}{{{container}}}"
        self._put(involved, reason, message, warning, component)

    def scheduled(self, pod: Json) -> None:
        """There is one node, and the API writes it into every Pod; users look for the scheduler's words all the same."""
        text = f"Successfully assigned {pods.namespace(pod)}/{pods.name(pod)} to {self._node}"
        self.pod(pod, "Scheduled", text, component="default-scheduler")

    def node(self, reason: str, message: str, *, warning: bool = False) -> None:
        self._put({"kind": "Node", "apiVersion": "v1", "name": self._node, "uid": self._node}, reason, message, warning, "kubelet")

    def _put(self, involved: Json, reason: str, message: str, warning: bool, component: str) -> None:
        text = message if len(message) <= _MESSAGE else message[: _MESSAGE - 3] + "..."
        now = self._clock.now()
        self._last = max(self._last + 1, int(now.timestamp() * 1e6) * 1_000)
        self.counts["Warning" if warning else "Normal", reason] += 1
        note = Note(involved, "Warning" if warning else "Normal", reason, text, component, rfc3339(now), self._last)
        try:
            self._queue.put_nowait(note)
        except asyncio.QueueFull:
            _log.warning("event dropped, too many are waiting: %s %s", reason, text)

    async def run(self) -> None:
        """Until cancelled. What happens at once is written a moment later: the writing must not slow down what it tells of."""
        while True:
            note = await self._queue.get()
            await asyncio.sleep(_LATER)
            await self._try(note)
            while not self._queue.empty():
                await self._try(self._queue.get_nowait())

    async def _try(self, note: Note) -> None:
        try:
            await self._write(note)
        except PolongError as error:
            _log.info("cannot write event %s of %s: %s", note.reason, note.involved["name"], error)

    async def _write(self, note: Note) -> None:
        involved = note.involved
        key = (involved["kind"], involved["uid"], involved.get("fieldPath", ""), note.kind, note.reason, note.message)
        namespace = involved.get("namespace") or "default"
        now = self._clock.monotonic()
        seen = self._seen.get(key)
        if seen is not None and now - seen.at < _CORRELATED:
            seen.count += 1
            seen.at = now
            try:
                await self._api.patch_event(namespace, seen.name, {"count": seen.count, "lastTimestamp": note.time})
                return
            except NotFound:
                pass
        # As client-go names them. Timestamps are whole seconds; a list in the order of names is then one in the order of time.
        name = f"{involved['name']}.{note.nanoseconds:x}"
        await self._api.create_event(self._event(note, namespace, name))
        self._seen[key] = _Seen(name, 1, now)
        self._seen.move_to_end(key)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    def _event(self, note: Note, namespace: str, name: str) -> Json:
        return {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": note.involved,
            "reason": note.reason,
            "message": note.message,
            "source": {"component": note.component} | ({"host": self._node} if note.component == "kubelet" else {}),
            "firstTimestamp": note.time,
            "lastTimestamp": note.time,
            "count": 1,
            "type": note.kind,
            "eventTime": None,
            "reportingComponent": note.component,
            "reportingInstance": self._node if note.component == "kubelet" else "",
        }
