"""What goes on without a request: namespaces that empty themselves, Events that expire."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Any

from polong.api.objectstore import ObjectStore
from polong.api.resources.events import TTL_SECONDS
from polong.api.resources.kind import Kind
from polong.api.resources.namespaces import INITIAL, NAME_LABEL
from polong.api.resources.registry import Registry
from polong.kit import ids
from polong.kit.clock import Clock, parse_rfc3339, rfc3339
from polong.kit.errors import AlreadyExists, Conflict, Gone, NotFound
from polong.kit.tasks import Tasks

Json = dict[str, Any]

_log = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0


class Lifecycle:
    """Owns its tasks. `empty` deletes the contents of a namespace the way a client would."""

    def __init__(self, store: ObjectStore, registry: Registry, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._namespaces = _kind(registry, "namespaces")
        self._pods = _kind(registry, "pods")
        self._events = _kind(registry, "events")
        stored: dict[str, Kind] = {}
        for kind in registry:
            if kind.resource.namespaced:
                stored.setdefault(kind.storage, kind)
        self._contents = [kind for kind in stored.values() if kind is not self._pods]
        self._tasks = Tasks("api")
        self._ending: set[str] = set()

    async def start(self) -> None:
        """Make the namespaces that always exist, take up deletions that a restart interrupted."""
        for name in INITIAL:
            await self._ensure(name)
        page = await self._store.page(self._namespaces, "")
        for namespace in page.items:
            if namespace["metadata"].get("deletionTimestamp"):
                self.end(namespace["metadata"]["name"])
        _ = self._tasks.start(self._sweep(), "events")

    async def aclose(self) -> None:
        await self._tasks.aclose()

    async def _ensure(self, name: str) -> None:
        namespace: Json = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "labels": {NAME_LABEL: name},
                "uid": ids.uid(),
                "creationTimestamp": rfc3339(self._clock.now()),
            },
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        }
        if await self._store.find(self._namespaces, "", name) is None:
            try:
                await self._store.create(self._namespaces, namespace)
            except AlreadyExists:
                return

    # --- namespaces -----------------------------------------------------------------------------------------------------------

    def end(self, name: str) -> None:
        """Empty a namespace that is being deleted, then remove it. Idempotent."""
        if name not in self._ending:
            self._ending.add(name)
            _ = self._tasks.start(self._end(name), f"namespace {name}")

    async def _end(self, name: str) -> None:
        try:
            await self._end_pods(name)
            for kind in self._contents:
                await self._remove_all(kind, name)
            await self._finish(name)
        finally:
            self._ending.discard(name)

    async def _end_pods(self, name: str) -> None:
        """Pods first, gracefully; back when the last one is gone."""
        while True:
            page = await self._store.page(self._pods, name)
            if not page.items:
                return
            for pod in page.items:
                await self._delete_pod(pod)
            changes = self._store.watch(self._pods, name, page.revision)
            try:
                async for change in changes:
                    if change.type == "delete":
                        break
            except Gone:
                continue
            finally:
                await changes.aclose()

    async def _delete_pod(self, pod: Json) -> None:
        metadata = pod["metadata"]
        if metadata.get("deletionTimestamp"):
            return
        grace = self._pods.grace_seconds(pod, None)
        revision = int(metadata["resourceVersion"])
        try:
            if not grace and not metadata.get("finalizers"):
                await self._store.delete(self._pods, pod, revision)
                return
            marked = {**pod, "metadata": dict(metadata)}
            marked["metadata"]["deletionTimestamp"] = rfc3339(self._clock.now() + timedelta(seconds=grace))
            marked["metadata"]["deletionGracePeriodSeconds"] = grace
            marked["metadata"]["generation"] = int(metadata.get("generation", 0)) + 1
            await self._store.update(self._pods, marked, revision)
        except (Conflict, NotFound):
            found = await self._store.find(self._pods, metadata["namespace"], metadata["name"])
            if found is not None:
                await self._delete_pod(found[0])

    async def _remove_all(self, kind: Kind, namespace: str) -> None:
        page = await self._store.page(kind, namespace)
        for obj in page.items:
            try:
                await self._store.storage.delete(self._store.key(kind, namespace, obj["metadata"]["name"]))
            except NotFound:
                continue

    async def _finish(self, name: str) -> None:
        while (found := await self._store.find(self._namespaces, "", name)) is not None:
            namespace, revision = found
            try:
                if namespace["metadata"].get("finalizers"):
                    # Somebody else's finalizers remain: Kubernetes' own is done, the last of theirs removes the object.
                    await self._store.update(self._namespaces, {**namespace, "spec": {}}, revision)
                else:
                    await self._store.delete(self._namespaces, namespace, revision)
            except Conflict:
                continue
            except NotFound:
                return
            return

    # --- events ---------------------------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            await self.expire()

    async def expire(self) -> None:
        """Delete Events that nothing has repeated for an hour."""
        oldest = self._clock.now() - timedelta(seconds=TTL_SECONDS)
        page = await self._store.page(self._events, "")
        for event in page.items:
            if _last_seen(event) < oldest:
                try:
                    await self._store.delete(self._events, event, int(event["metadata"]["resourceVersion"]))
                except (Conflict, NotFound):
                    continue
                await asyncio.sleep(0)


def _kind(registry: Registry, plural: str) -> Kind:
    kind = registry.find("", "v1", plural)
    assert kind is not None
    return kind


def _last_seen(event: Json) -> datetime:
    series = event.get("series") or {}
    created = event["metadata"]["creationTimestamp"]
    for text in (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"), created):
        if text:
            try:
                return max(parse_rfc3339(text), parse_rfc3339(created))
            except ValueError:
                continue
    return parse_rfc3339(created)
