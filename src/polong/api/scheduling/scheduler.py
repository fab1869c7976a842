"""The scheduler of few nodes: a Pod gets its place in the write that makes it, or waits and gets one when something changes.

Deciding is a pure step without a wait between looking and taking, so two Pods cannot both have the last place; what is stored is then
followed through the store's own watch. Decision 0013.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from polong.api.admission.chain import Attempt, Json, Plugin
from polong.api.eventlog import EventLog
from polong.api.follow import Change, follow
from polong.api.objectstore import ObjectStore
from polong.api.resources.kind import Kind
from polong.api.resources.namespaces import Namespaces
from polong.api.resources.nodes import Nodes
from polong.api.resources.persistentvolumeclaims import PersistentVolumeClaims
from polong.api.scheduling.fit import Crowd, Placed, refusals
from polong.api.scheduling.topology import Surroundings
from polong.kit.clock import Clock, rfc3339
from polong.kit.errors import Conflict, NotFound
from polong.objects import conditions
from polong.objects import pod as pods
from polong.objects.gvk import PODS
from polong.objects.podreferences import CLAIM, of_pod

K = TypeVar("K")
T = TypeVar("T")

NAME = "default-scheduler"
_EMPTY = Crowd()
_TOGETHER = 0.02
"""Seconds in which changes wake those who wait once."""


@dataclass(frozen=True)
class Decision:
    """`node` is empty where the Pod has to wait, for the reason in `message`."""

    node: str = ""
    message: str = ""


class Places:
    """Who is where, in memory. Synchronous: between `decide` and `take` nothing else happens."""

    def __init__(self, own: Json) -> None:
        self._own = own
        self.nodes: dict[str, Json] = {}
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.claims: dict[tuple[str, str], Json] = {}
        self._placed: dict[str, Placed] = {}
        self._shunning: dict[str, Placed] = {}
        self._crowds: dict[str, Crowd] = {}

    def decide(self, pod: Json) -> Decision:
        # Its own node is a place before it is registered: it will be there when the first Pod is.
        nodes = self.nodes if self._own["metadata"]["name"] in self.nodes else {**self.nodes, self._own["metadata"]["name"]: self._own}
        if why_not := self._unclaimed(pod):
            return Decision(message=f"0/{len(nodes)} nodes are available: {why_not}.")
        wanted = Placed.of(pod)
        around = Surroundings(self._placed.values(), self._shunning.values(), nodes, lambda name: self.namespaces.get(name, {}))
        why: Counter[str] = Counter()
        for name, node in sorted(nodes.items(), key=lambda item: item[0] != self._own["metadata"]["name"]):
            found = refusals(pod, wanted, node, self._crowds.get(name, _EMPTY)) or around.refusals(pod, wanted, node)
            if not found:
                return Decision(name)
            why.update(found)
        reasons = ", ".join(sorted(f"{count} {reason}" for reason, count in why.items()))
        return Decision(message=f"0/{len(nodes)} nodes are available: {reasons}.")

    def _unclaimed(self, pod: Json) -> str:
        """What is wrong with the claims that the Pod refers to; the first of it."""
        for reference in sorted(of_pod(pod)):
            if reference.kind != CLAIM:
                continue
            claim = self.claims.get((pods.namespace(pod), reference.name))
            if claim is None:
                return f'persistentvolumeclaim "{reference.name}" not found'
            if claim["metadata"].get("deletionTimestamp"):
                return f'persistentvolumeclaim "{reference.name}" is being deleted'
            if (claim.get("status") or {}).get("phase") != "Bound":
                return "pod has unbound immediate PersistentVolumeClaims"
            if "ReadWriteOncePod" in claim["spec"].get("accessModes", ()) and self._is_used(pods.namespace(pod), reference.name):
                return "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
        return ""

    def _is_used(self, namespace: str, claim: str) -> bool:
        return any(each.namespace == namespace and claim in each.claims for each in self._placed.values())

    def take(self, pod: Json) -> None:
        """Counts from now on, if it has a node and is not finished."""
        self.leave(pod)
        if pods.spec(pod).get("nodeName") and not pods.is_finished(pod):
            placed = self._placed[pods.uid(pod)] = Placed.of(pod)
            self._crowds.setdefault(placed.node, Crowd()).add(placed)
            if placed.shuns:
                self._shunning[pods.uid(pod)] = placed

    def leave(self, pod: Json) -> None:
        placed = self._placed.pop(pods.uid(pod), None)
        self._shunning.pop(pods.uid(pod), None)
        if placed is not None:
            self._crowds[placed.node].remove(placed)

    def clear(self) -> None:
        self._placed.clear()
        self._shunning.clear()
        self._crowds.clear()


class Scheduler(Plugin):
    """`begin` before the first request; `run` forever."""

    def __init__(self, store: ObjectStore, pods_kind: Kind, clock: Clock, own: Json) -> None:
        self._store = store
        self._pods = pods_kind
        self._clock = clock
        self._events = EventLog(store, clock, NAME)
        self._places = Places(own)
        self._waiting: dict[str, tuple[str, str]] = {}
        self._wake = asyncio.Event()

    # --- in the write that makes a Pod ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def storing(self, attempt: Attempt) -> AsyncIterator[None]:
        if not attempt.creates(PODS):
            yield
            return
        pod = attempt.obj
        named = pods.spec(pod).get("nodeName") or ""
        decision = Decision(named) if named or not _ours(pod) else self._places.decide(pod)
        if decision != Decision():
            _settle(pod, decision, rfc3339(self._clock.now()))
        self._places.take(pod)
        try:
            yield
        except BaseException:
            self._places.leave(pod)
            raise
        if decision.message:
            await self._events.record(pod, "FailedScheduling", decision.message, warning=True)

    # --- later ------------------------------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        for pod in (await self._store.page(self._pods, "")).items:
            self._note(pod)
        for node in (await self._store.page(_NODES, "")).items:
            self._places.nodes[node["metadata"]["name"]] = node
        for namespace in (await self._store.page(_NAMESPACES, "")).items:
            self._places.namespaces[namespace["metadata"]["name"]] = namespace["metadata"].get("labels") or {}
        for claim in (await self._store.page(_CLAIMS, "")).items:
            self._places.claims[_place(claim)] = claim

    def _note(self, pod: Json) -> None:
        self._places.take(pod)
        if pods.spec(pod).get("nodeName") or not _ours(pod) or pods.is_finished(pod) or pods.is_terminating(pod):
            self._waiting.pop(pods.uid(pod), None)
        else:
            self._waiting[pods.uid(pod)] = (pods.namespace(pod), pods.name(pod))

    async def watch_pods(self) -> None:
        async for change in follow(self._store, self._pods):
            if change.all is not None:
                self._places.clear()
                self._waiting.clear()
                for pod in change.all:
                    self._note(pod)
            elif change.now is not None:
                self._note(change.now)
            elif change.before is not None:
                self._places.leave(change.before)
                self._waiting.pop(pods.uid(change.before), None)
            if self._waiting:
                self._wake.set()

    async def watch_nodes(self) -> None:
        async for change in follow(self._store, _NODES):
            _follow(self._places.nodes, change, _name, lambda node: node)
            self._wake.set()

    async def watch_namespaces(self) -> None:
        async for change in follow(self._store, _NAMESPACES):
            _follow(self._places.namespaces, change, _name, lambda namespace: namespace["metadata"].get("labels") or {})

    async def watch_claims(self) -> None:
        async for change in follow(self._store, _CLAIMS):
            _follow(self._places.claims, change, _place, lambda claim: claim)
            if self._waiting:
                self._wake.set()

    async def run(self) -> None:
        """Forever: look again at those who wait, the most important first."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(_TOGETHER)
            self._wake.clear()
            waiting = [await self._store.find(self._pods, *where) for where in list(self._waiting.values())]
            for found in sorted((each for each in waiting if each is not None), key=lambda each: _rank(each[0])):
                await self._again(*found)

    async def _again(self, pod: Json, revision: int) -> None:
        if pods.spec(pod).get("nodeName") or pods.is_terminating(pod):
            return
        decision = self._places.decide(pod)
        settled = {**pod, "spec": dict(pods.spec(pod)), "status": dict(pods.status(pod))}
        _settle(settled, decision, rfc3339(self._clock.now()))
        if settled == pod:
            return
        self._places.take(settled)
        try:
            await self._store.update(self._pods, settled, revision)
        except (Conflict, NotFound):
            # Whoever changed it is told of by the watch, which brings us back.
            self._places.leave(settled)
            return
        if not decision.node:
            await self._events.record(pod, "FailedScheduling", decision.message, warning=True)


_NODES, _NAMESPACES, _CLAIMS = Nodes(), Namespaces(), PersistentVolumeClaims()


def _ours(pod: Json) -> bool:
    """Another scheduler's Pods wait for it to bind them, and gated ones for their gates to go."""
    return not pods.spec(pod).get("schedulingGates") and bool(pods.spec(pod).get("schedulerName", NAME) == NAME)


def _rank(pod: Json) -> tuple[int, str]:
    return -int(pods.spec(pod).get("priority") or 0), str(pod["metadata"].get("creationTimestamp", ""))


def _settle(pod: Json, decision: Decision, now: str) -> None:
    """Write the decision into the Pod."""
    condition: Json = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
    if decision.node:
        pod["spec"]["nodeName"] = decision.node
    else:
        condition |= {"status": "False", "reason": "Unschedulable", "message": decision.message}
    pod["status"]["conditions"] = conditions.with_condition(pods.status(pod).get("conditions"), condition, now)


def _name(obj: Json) -> str:
    return str(obj["metadata"]["name"])


def _place(obj: Json) -> tuple[str, str]:
    return str(obj["metadata"].get("namespace", "")), _name(obj)


def _follow(held: dict[K, T], change: Change, key: Callable[[Json], K], view: Callable[[Json], T]) -> None:
    """Keep `held` in step."""
    if change.all is not None:
        held.clear()
        held.update((key(each), view(each)) for each in change.all)
    elif change.now is not None:
        held[key(change.now)] = view(change.now)
    elif change.before is not None:
        held.pop(key(change.before), None)
