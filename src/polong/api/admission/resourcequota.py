"""ResourceQuota: nothing is stored that would take a namespace over what it may use. Source: apiserver plugin/resourcequota.

What is used is counted from the objects themselves, under a lock that is held until the new object is stored: two creates at once
cannot both have the last place.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction

from polong.api import quota
from polong.api.admission.chain import Attempt, Json, Plugin
from polong.api.objectstore import ObjectStore
from polong.api.resources.kind import Kind
from polong.api.resources.registry import Registry
from polong.api.resources.resourcequotas import ResourceQuotas
from polong.kit.errors import Conflict, NotFound
from polong.objects import podresources, quantity
from polong.objects.gvk import PODS
from polong.objects.podresources import Amounts

_QUOTAS = ResourceQuotas()
_REMEMBERED = 8192


class ResourceQuota(Plugin):
    def __init__(self, registry: Registry) -> None:
        self._kinds: dict[str, Kind] = {}
        for kind in registry:
            if kind.resource.namespaced:
                self._kinds.setdefault(kind.storage, kind)
        self._locks: dict[str, asyncio.Lock] = {}
        self._usages: OrderedDict[tuple[str, str], Amounts] = OrderedDict()

    # --- admission --------------------------------------------------------------------------------------------------------------------

    async def validate(self, attempt: Attempt) -> None:
        if attempt.dry_run and (delta := self._delta(attempt)):
            await self._check(attempt, delta, await self._quotas(attempt.store, attempt.namespace))

    @asynccontextmanager
    async def storing(self, attempt: Attempt) -> AsyncIterator[None]:
        delta = self._delta(attempt)
        if not delta or not await self._quotas(attempt.store, attempt.namespace):
            yield
            return
        async with self._lock(attempt.namespace):
            await self._check(attempt, delta, await self._quotas(attempt.store, attempt.namespace))
            yield
            await self._write(attempt.store, attempt.namespace)

    def _delta(self, attempt: Attempt) -> Amounts:
        """What this write adds."""
        resource = attempt.kind.resource
        if not resource.namespaced or attempt.subresource not in ("", "resize") or attempt.kind.storage not in self._kinds:
            return {}
        if attempt.kind is not self._kinds[attempt.kind.storage] and attempt.kind.resource != self._kinds[attempt.kind.storage].resource:
            return {}
        asked = quota.usage(resource, attempt.obj)
        if attempt.old is None:
            return asked
        before = quota.usage(resource, attempt.old)
        changed = {name: amount - before.get(name, Fraction(0)) for name, amount in asked.items()}
        return {name: amount for name, amount in changed.items() if amount > 0}

    async def _check(self, attempt: Attempt, delta: Amounts, quotas: Sequence[Json]) -> None:
        resource = attempt.kind.resource
        for each in quotas:
            hard = _hard(each)
            if not quota.counts(each, resource, attempt.obj):
                continue
            name = each["metadata"]["name"]
            counted = {part: amount for part, amount in delta.items() if part in hard}
            if attempt.creates(PODS) and (why := quota.unsaid(attempt.obj, hard)):
                raise attempt.forbidden(f"failed quota: {name}: {why}")
            used = await self._used(attempt.store, each) if counted else {}
            over = [part for part, amount in counted.items() if amount > 0 and used.get(part, Fraction(0)) + amount > hard[part]]
            if over:
                said = (_text(counted, over), _text(used, over), _text(hard, over))
                raise attempt.forbidden("exceeded quota: {}, requested: {}, used: {}, limited: {}".format(name, *said))

    # --- what is used -----------------------------------------------------------------------------------------------------------------

    async def recount(self, store: ObjectStore, namespace: str) -> None:
        """Write what is used into the status of every quota of the namespace."""
        async with self._lock(namespace):
            await self._write(store, namespace)

    async def _write(self, store: ObjectStore, namespace: str) -> None:
        for each in await self._quotas(store, namespace):
            used = await self._used(store, each)
            hard = (each.get("spec") or {}).get("hard") or {}
            status = {"hard": dict(hard), "used": {name: podresources.text(name, used.get(name, Fraction(0))) for name in hard}}
            if each.get("status") == status:
                continue
            # Somebody changed it meanwhile, or it is gone: the change counts it again.
            with contextlib.suppress(Conflict, NotFound):
                await store.update(_QUOTAS, {**each, "status": status}, int(each["metadata"]["resourceVersion"]))

    async def _quotas(self, store: ObjectStore, namespace: str) -> Sequence[Json]:
        return (await store.page(_QUOTAS, namespace)).items

    async def _used(self, store: ObjectStore, one: Json) -> Amounts:
        total: Amounts = {}
        for kind in self._counted(_hard(one)):
            for obj in (await store.page(kind, one["metadata"]["namespace"])).items:
                if quota.counts(one, kind.resource, obj):
                    for name, amount in self._usage(kind, obj).items():
                        total[name] = total.get(name, Fraction(0)) + amount
        return total

    def _counted(self, hard: Mapping[str, Fraction]) -> Sequence[Kind]:
        """The kinds that names such as pods, requests.cpu, services.nodeports and count/leases.coordination.k8s.io are about."""
        return [kind for kind in self._kinds.values() if any(_about(name, kind) for name in hard)]

    def _usage(self, kind: Kind, obj: Json) -> Amounts:
        key = (obj["metadata"].get("uid", ""), obj["metadata"].get("resourceVersion", ""))
        found = self._usages.get(key)
        if found is None:
            found = self._usages[key] = quota.usage(kind.resource, obj)
            if len(self._usages) > _REMEMBERED:
                self._usages.popitem(last=False)
        return found

    def _lock(self, namespace: str) -> asyncio.Lock:
        return self._locks.setdefault(namespace, asyncio.Lock())

    def forget(self, namespace: str) -> None:
        """The namespace is gone."""
        self._locks.pop(namespace, None)


def _about(name: str, kind: Kind) -> bool:
    resource = kind.resource
    if name.startswith("count/"):
        return name == (f"count/{resource.plural}.{resource.group}" if resource.group else f"count/{resource.plural}")
    if resource.group:
        return False
    if name == resource.plural or name.startswith(f"{resource.plural}."):
        return True
    if resource.plural == "persistentvolumeclaims":
        return "storage" in name
    return resource == PODS and "storageclass" not in name


def _hard(one: Json) -> Amounts:
    return {name: quantity.parse(amount) for name, amount in ((one.get("spec") or {}).get("hard") or {}).items()}


def _text(amounts: Amounts, names: Sequence[str]) -> str:
    return ",".join(f"{name}={podresources.text(name, amounts.get(name, Fraction(0)))}" for name in sorted(names))
