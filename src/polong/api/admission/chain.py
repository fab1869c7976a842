"""The order of admission: plugins change an object after its defaults, refuse it after its validation, and may hold something (a
quota, a place on a node) while it is stored. Source: Kubernetes docs "Admission Control in Kubernetes"."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from polong.api import status
from polong.api.objectstore import ObjectStore
from polong.api.resources.kind import Context, Kind
from polong.api.service import User
from polong.kit.errors import Forbidden
from polong.objects.gvk import Resource

Json = dict[str, Any]


@dataclass
class Attempt:
    """One write on its way to the store. `verb` is create or update; `obj` may be changed in `mutate` alone; `old` is None for a
    create. With `dry_run` nothing may be changed anywhere else."""

    verb: str
    kind: Kind
    obj: Json
    old: Json | None
    subresource: str
    user: User | None
    store: ObjectStore
    context: Context
    dry_run: bool = False

    @property
    def namespace(self) -> str:
        return str(self.obj["metadata"].get("namespace", ""))

    def creates(self, resource: Resource) -> bool:
        return self.verb == "create" and self.kind.resource == resource and not self.subresource

    def forbidden(self, text: str) -> Forbidden:
        """`pods "x" is forbidden: text`."""
        return status.forbidden(self.kind.resource, str(self.obj["metadata"].get("name", "")), text)


class Plugin:
    """Each step may raise Forbidden (or what else Kubernetes answers)."""

    async def mutate(self, attempt: Attempt) -> None:
        """Change `attempt.obj`, which has its defaults and is not validated yet: nothing in it can be relied on but types."""

    async def validate(self, attempt: Attempt) -> None:
        """Refuse. The object is valid, complete, and must not be changed any more."""

    @asynccontextmanager
    async def storing(self, attempt: Attempt) -> AsyncIterator[None]:
        """Around the write to the store; an exception from inside means that nothing was stored. Not entered for a dry run."""
        yield


class Chain:
    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self._plugins = tuple(plugins)
        self._holding = tuple(plugin for plugin in plugins if type(plugin).storing is not Plugin.storing)

    async def mutate(self, attempt: Attempt) -> None:
        for plugin in self._plugins:
            await plugin.mutate(attempt)

    async def validate(self, attempt: Attempt) -> None:
        for plugin in self._plugins:
            await plugin.validate(attempt)

    @asynccontextmanager
    async def storing(self, attempt: Attempt) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            for plugin in self._holding:
                await held.enter_async_context(plugin.storing(attempt))
            yield
