"""The objects that Pods of this node refer to, and no others: one watch for each, for as long as a Pod needs it.

Source: kubelet's watch-based ConfigMap and Secret managers (pkg/kubelet/util/manager).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from polong.kit.clock import Clock
from polong.kit.errors import PolongError, Unavailable
from polong.kit.tasks import Tasks
from polong.kubelet.ports import Api, Objects
from polong.objects import pod as pods
from polong.objects import podreferences
from polong.objects.podreferences import Reference

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_AGAIN = 1.0
_FIRST = 10.0

_Key = tuple[str, Reference]


@dataclass
class _Watched:
    """`told` is set once the first list is in; `problem` says why there is none (any more), `listed` that the object was told since."""

    users: set[str] = field(default_factory=set)
    object: Json | None = None
    told: asyncio.Event = field(default_factory=asyncio.Event)
    problem: str = ""
    listed: bool = False
    task: asyncio.Task[None] | None = None


class References:
    """`follow` and `forget` say which Pods there are; `changed` is called with the UID of each Pod that refers to an object which was
    made, changed or deleted after its first list."""

    def __init__(self, api: Api, clock: Clock, changed: Callable[[str], None]) -> None:
        self._api = api
        self._clock = clock
        self._changed = changed
        self._watched: dict[_Key, _Watched] = {}
        self._wanted: dict[str, frozenset[_Key]] = {}
        self._tasks = Tasks("references")

    async def aclose(self) -> None:
        await self._tasks.aclose()

    def follow(self, pod: Json) -> None:
        """The Pod is there, or its spec changed."""
        uid, namespace = pods.uid(pod), pods.namespace(pod)
        wanted = frozenset((namespace, each) for each in podreferences.of_pod(pod))
        before = self._wanted.get(uid, frozenset())
        if wanted == before:
            return
        self._wanted[uid] = wanted
        for key in wanted - before:
            self._watch(key).users.add(uid)
        self._leave(uid, before - wanted)

    def forget(self, uid: str) -> None:
        """The Pod needs nothing any more. Idempotent."""
        self._leave(uid, self._wanted.pop(uid, frozenset()))

    async def get(self, namespace: str, reference: Reference) -> Json | None:
        found = self._watched.get((namespace, reference))
        if found is None:
            raise Unavailable(f'{reference.kind.lower()} "{reference.name}" is not followed: no Pod refers to it')
        try:
            async with asyncio.timeout(_FIRST):
                await found.told.wait()
        except TimeoutError as error:
            raise Unavailable(f'failed to sync {reference.kind.lower()} cache: timed out waiting for "{reference.name}"') from error
        if found.problem:
            raise Unavailable(found.problem)
        return found.object

    def _watch(self, key: _Key) -> _Watched:
        found = self._watched.get(key)
        if found is None:
            found = self._watched[key] = _Watched()
            found.task = self._tasks.start(self._run(key, found), f"{key[1].kind} {key[0]}/{key[1].name}")
        return found

    def _leave(self, uid: str, keys: frozenset[_Key]) -> None:
        for key in keys:
            watched = self._watched.get(key)
            if watched is None:
                continue
            watched.users.discard(uid)
            if not watched.users:
                del self._watched[key]
                if watched.task is not None:
                    watched.task.cancel()

    async def _run(self, key: _Key, watched: _Watched) -> None:
        """Until nobody needs it."""
        namespace, reference = key
        while True:
            try:
                async with aclosing(self._api.referred(namespace, reference)) as changes:  # type: ignore[type-var]
                    async for kind, found in changes:
                        self._tell(watched, kind, found)
                raise Unavailable("the watch ended")
            except PolongError as error:
                watched.problem, watched.listed = str(error), False
                watched.told.set()
                _log.info("cannot watch %s %s/%s: %s", reference.kind, namespace, reference.name, error)
            await self._clock.sleep(_AGAIN)

    def _tell(self, watched: _Watched, kind: str, found: Json) -> None:
        if kind == "SYNCED":
            self._synced(watched)
            return
        watched.object = None if kind == "DELETED" else found
        watched.listed = True
        if watched.told.is_set() and not watched.problem:
            self._changed_for(watched)

    def _synced(self, watched: _Watched) -> None:
        """A list is in. After a gap it is the list that tells what is no more."""
        if not watched.listed and watched.problem:
            watched.object = None
        again, watched.problem = bool(watched.problem), ""
        watched.told.set()
        if again:
            self._changed_for(watched)

    def _changed_for(self, watched: _Watched) -> None:
        for uid in sorted(watched.users):
            self._changed(uid)


_: type[Objects] = References
