"""Keeps the status of ResourceQuotas true: what a namespace uses, counted again whenever something in it changes."""

from __future__ import annotations

import asyncio

from polong.api.admission.resourcequota import ResourceQuota
from polong.api.objectstore import ObjectStore
from polong.api.resources.resourcequotas import ResourceQuotas
from polong.kit.clock import Clock
from polong.kit.errors import Gone

_QUOTAS = ResourceQuotas()
_TOGETHER = 0.05
"""Seconds in which changes of one namespace are counted once."""


class QuotaStatus:
    def __init__(self, store: ObjectStore, clock: Clock, quotas: ResourceQuota) -> None:
        self._store = store
        self._clock = clock
        self._quotas = quotas
        self._changed: set[str] = set()
        self._wake = asyncio.Event()

    async def watch(self) -> None:
        """Forever: note which namespaces changed. Reads keys alone."""
        while True:
            self._changed |= {quota["metadata"]["namespace"] for quota in (await self._store.page(_QUOTAS, "")).items}
            self._wake.set()
            changes = self._store.storage.watch("/", await self._store.revision())
            try:
                async for change in changes:
                    _, _, namespace, *rest = change.key.split("/")
                    if rest:
                        self._changed.add(namespace)
                        self._wake.set()
            except Gone:
                continue
            finally:
                await changes.aclose()

    async def count(self) -> None:
        """Forever: count what changed."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(_TOGETHER)
            self._wake.clear()
            changed, self._changed = self._changed, set()
            for namespace in sorted(changed):
                if (await self._store.page(_QUOTAS, namespace, limit=1)).items:
                    await self._quotas.recount(self._store, namespace)
