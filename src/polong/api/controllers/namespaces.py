"""Namespaces that empty themselves: Pods first and gracefully, then everything else, then the namespace itself.

Source: KEP-5080 (ordered namespace deletion); pkg/controller/namespace/deletion (namespaced_resources_deleter.go, status texts).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any

from polong.api.controllers import deletion
from polong.api.objectstore import ObjectStore
from polong.api.resources.kind import Kind
from polong.api.resources.namespaces import FINALIZER, Namespaces
from polong.api.resources.registry import Registry
from polong.kit.clock import Clock, rfc3339
from polong.kit.errors import Conflict, Gone, NotFound
from polong.kit.tasks import Tasks
from polong.objects import conditions
from polong.objects.gvk import PODS

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_NAMESPACES = Namespaces()

# Condition -> (reason, message) while all is well, in Kubernetes' order and words.
_WELL = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


class Endings:
    """`end` deletes the contents of a namespace the way a client would: finalizers of others are waited for."""

    def __init__(self, store: ObjectStore, registry: Registry, clock: Clock, tasks: Tasks) -> None:
        self._store = store
        self._clock = clock
        self._tasks = tasks
        stored: dict[str, Kind] = {}
        for kind in registry:
            if kind.resource.namespaced:
                stored.setdefault(kind.storage, kind)
        self._kinds = sorted(stored.values(), key=lambda kind: kind.resource != PODS)
        self._ending: set[str] = set()

    async def resume(self) -> None:
        """Take up deletions that a restart interrupted."""
        for namespace in (await self._store.page(_NAMESPACES, "")).items:
            if namespace["metadata"].get("deletionTimestamp"):
                self.end(namespace["metadata"]["name"])

    def end(self, name: str) -> None:
        """Empty a namespace that is being deleted, then remove it. Idempotent."""
        if name not in self._ending:
            self._ending.add(name)
            _ = self._tasks.start(self._end(name), f"namespace {name}")

    async def _end(self, name: str) -> None:
        try:
            # Pods may need what is beside them until they are gone.
            await self._empty(name, self._kinds[:1])
            await self._empty(name, self._kinds)
            await self._finish(name)
        finally:
            self._ending.discard(name)

    async def _empty(self, name: str, kinds: list[Kind]) -> None:
        """Back when nothing of these kinds is left."""
        while True:
            revision = await self._store.revision()
            remaining = [(kind, obj) for kind in kinds for obj in (await self._store.page(kind, name)).items]
            left = [(kind, obj) for kind, obj in remaining if await deletion.delete(self._store, self._clock, kind, obj)]
            await self._report(name, left)
            if not left:
                return
            await self._until_something_goes(name, {kind.storage for kind, _ in left}, revision)

    async def _until_something_goes(self, name: str, storages: set[str], revision: int) -> None:
        changes = self._store.storage.watch("/", revision)
        try:
            async for change in changes:
                _, storage, *rest = change.key.split("/")
                if change.type == "delete" and storage in storages and rest[0] == name:
                    return
        except Gone:
            return
        finally:
            await changes.aclose()

    async def _report(self, name: str, left: list[tuple[Kind, Json]]) -> None:
        """What is waited for, as conditions of the namespace."""
        found = dict(_WELL)
        if left:
            counted = Counter(_resource(kind) for kind, _ in left)
            parts = ", ".join(f"{resource} has {count} resource instances" for resource, count in sorted(counted.items()))
            found["NamespaceContentRemaining"] = ("SomeResourcesRemain", f"Some resources are remaining: {parts}")
        held = Counter(finalizer for _, obj in left for finalizer in obj["metadata"].get("finalizers") or ())
        if held:
            parts = ", ".join(f"{finalizer} in {count} resource instances" for finalizer, count in sorted(held.items()))
            text = f"Some content in the namespace has finalizers remaining: {parts}"
            found["NamespaceFinalizersRemaining"] = ("SomeFinalizersRemain", text)
        now = rfc3339(self._clock.now())
        while (stored := await self._store.find(_NAMESPACES, "", name)) is not None:
            namespace, revision = stored
            listed = list((namespace.get("status") or {}).get("conditions") or ())
            for kind, (reason, message) in found.items():
                holds = "False" if (reason, message) == _WELL[kind] else "True"
                listed = conditions.with_condition(listed, {"type": kind, "status": holds, "reason": reason, "message": message}, now)
            status = {**(namespace.get("status") or {}), "phase": "Terminating", "conditions": listed}
            if status == namespace.get("status"):
                return
            try:
                await self._store.update(_NAMESPACES, {**namespace, "status": status}, revision)
            except Conflict:
                continue
            except NotFound:
                return
            return

    async def _finish(self, name: str) -> None:
        """Take Kubernetes' own finalizer away; the last finalizer that goes takes the namespace with it."""
        while (found := await self._store.find(_NAMESPACES, "", name)) is not None:
            namespace, revision = found
            finalizers = [each for each in (namespace.get("spec") or {}).get("finalizers") or () if each != FINALIZER]
            try:
                if finalizers or namespace["metadata"].get("finalizers"):
                    spec = {**namespace.get("spec", {}), "finalizers": finalizers}
                    if not finalizers:
                        del spec["finalizers"]
                    await self._store.update(_NAMESPACES, {**namespace, "spec": spec}, revision)
                else:
                    await self._store.delete(_NAMESPACES, namespace, revision)
            except Conflict:
                await asyncio.sleep(0)
                continue
            except NotFound:
                return
            return


def _resource(kind: Kind) -> str:
    return f"{kind.resource.plural}.{kind.resource.group}"
