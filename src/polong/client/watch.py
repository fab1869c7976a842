"""List, then watch, then resume: every change of a set of objects, through lost connections and forgotten revisions."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from polong.client.rest import Client, ListOptions
from polong.kit import errors
from polong.kit.clock import Clock, SystemClock
from polong.objects.gvk import Resource

Json = dict[str, Any]

# client-go's reflector: 0.8 s, doubled up to 30 s, with as much again at random.
FIRST_DELAY, MAX_DELAY = 0.8, 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Change:
    """`object` is the new state (for DELETED the last that is known; for SYNCED, which follows each list, empty)."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "SYNCED"]
    object: Json = field(default_factory=dict)


class ListWatch:
    """`async for change in ListWatch(...)`: endless. After a list that follows a gap, what differs from what was known is told as
    changes; nothing is told twice. Only `Unauthorized`, `Forbidden`, `BadRequest`, `NotFound` and `Unsupported` are raised."""

    def __init__(
        self, client: Client, resource: Resource, namespace: str = "", options: ListOptions | None = None, *, clock: Clock | None = None
    ) -> None:
        """`options` gives the selectors."""
        self._client = client
        self._resource = resource
        self._namespace = namespace
        self._options = options or ListOptions()
        self._clock = clock or SystemClock()
        self._known: dict[str, Json] = {}
        self._revision = ""
        self._delay = FIRST_DELAY
        self._silent = False

    async def __aiter__(self) -> AsyncIterator[Change]:
        while True:
            try:
                if not self._revision:
                    for change in await self._list():
                        yield change
                async with aclosing(self._watch()) as changes:
                    async for change in changes:
                        yield change
                if self._silent:  # a server that ends each watch at once must not be asked in a tight loop
                    await self._pause()
            except errors.Gone:
                self._revision = ""
                if self._silent:
                    await self._pause()
            except (errors.Unavailable, errors.DeadlineExceeded, errors.Internal, errors.TooLarge) as error:
                _log.info("watch of %s interrupted: %s", self._resource.plural, error)
                await self._pause()

    async def _pause(self) -> None:
        await self._clock.sleep(self._delay * (1 + random.random()))
        self._delay = min(self._delay * 2, MAX_DELAY)

    async def _list(self) -> list[Change]:
        found = await self._client.list_all(self._resource, self._namespace, self._options)
        now = {identity(obj): obj for obj in found["items"]}
        changes = [Change("DELETED", old) for key, old in self._known.items() if key not in now]
        for key, obj in now.items():
            old = self._known.get(key)
            if old is None:
                changes.append(Change("ADDED", obj))
            elif old["metadata"].get("resourceVersion") != obj["metadata"].get("resourceVersion"):
                changes.append(Change("MODIFIED", obj))
        self._known = now
        self._revision = found["metadata"]["resourceVersion"]
        return [*changes, Change("SYNCED")]

    async def _watch(self) -> AsyncGenerator[Change, None]:
        options = self._options._replace(resource_version=self._revision)
        started, self._silent = self._clock.monotonic(), True
        async with aclosing(self._client.watch(self._resource, self._namespace, options, bookmarks=True)) as events:
            async for kind, obj in events:
                self._revision = obj["metadata"]["resourceVersion"]
                self._delay, self._silent = FIRST_DELAY, False
                if kind == "BOOKMARK":
                    continue
                key = identity(obj)
                if kind == "DELETED":
                    self._known.pop(key, None)
                    yield Change("DELETED", obj)
                else:
                    yield Change("MODIFIED" if key in self._known else "ADDED", obj)
                    self._known[key] = obj
        if self._clock.monotonic() - started > MAX_DELAY:
            self._delay, self._silent = FIRST_DELAY, False


def identity(obj: Json) -> str:
    """By uid: an object deleted and made again under its name is another."""
    metadata = obj["metadata"]
    return str(metadata.get("uid") or f"{metadata.get('namespace', '')}/{metadata['name']}")
