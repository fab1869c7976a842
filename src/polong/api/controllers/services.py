"""Keeps Endpoints and EndpointSlices true, and the Service `kubernetes` by which Pods find this API.

One pass over all Services of the namespaces in which something changed; changes that come together are one pass.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from polong.api import endpoints
from polong.api.admission.serviceaddresses import ServiceAddresses
from polong.api.follow import Change, follow
from polong.api.objectstore import ObjectStore
from polong.api.resources.endpoints import Endpoints, EndpointSlices
from polong.api.resources.kind import Context, Kind
from polong.api.resources.services import Services
from polong.kit import ids
from polong.kit.clock import Clock, rfc3339
from polong.kit.errors import AlreadyExists, Conflict, NotFound
from polong.objects import pod as pods
from polong.objects import service

Json = dict[str, Any]

_SERVICES, _ENDPOINTS, _SLICES = Services(), Endpoints(), EndpointSlices()
_TOGETHER = 0.02
"""Seconds in which changes of Pods are looked at once."""
API = ("default", "kubernetes")


class ServiceEndpoints:
    def __init__(self, store: ObjectStore, pods_kind: Kind, clock: Clock, addresses: ServiceAddresses) -> None:
        self._store = store
        self._pods = pods_kind
        self._clock = clock
        self._addresses = addresses
        self._changed: set[str] = set()
        self._wake = asyncio.Event()

    # --- what changed ------------------------------------------------------------------------------------------------------------------

    async def watch_services(self) -> None:
        """Forever."""
        async for change in follow(self._store, _SERVICES):
            self._note(change)

    async def watch_endpoints(self) -> None:
        """Forever: what others keep is mirrored, what is ours is mended."""
        async for change in follow(self._store, _ENDPOINTS):
            self._note(change)

    async def watch_slices(self) -> None:
        """Forever: only for those that somebody deleted or changed."""
        async for change in follow(self._store, _SLICES):
            self._note(change)

    async def watch_pods(self) -> None:
        """Forever: looks only at what endpoints show of a Pod."""
        async for change in follow(self._store, self._pods):
            if change.all is not None or _shown(change.before) != _shown(change.now):
                self._note(change)

    def _note(self, change: Change) -> None:
        for each in change.all if change.all is not None else (change.before, change.now):
            if each is not None:
                self._changed.add(each["metadata"]["namespace"])
        if self._changed:
            self._wake.set()

    # --- what follows ------------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Forever."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(_TOGETHER)
            self._wake.clear()
            changed, self._changed = self._changed, set()
            for namespace in sorted(changed):
                await self._reconcile(namespace)

    async def _reconcile(self, namespace: str) -> None:
        services = (await self._store.page(_SERVICES, namespace)).items
        kept = {each["metadata"]["name"]: each for each in (await self._store.page(_ENDPOINTS, namespace)).items}
        pieces = (await self._store.page(_SLICES, namespace)).items
        if not services and not kept and not pieces:
            return
        selecting = any(service.spec(one).get("selector") for one in services)
        found = (await self._store.page(self._pods, namespace)).items if selecting else ()
        wanted: list[Json] = []
        for one in services:
            if service.key(one) == API or service.is_external(one):
                continue
            await self._addresses.mend(self._store, one)
            name = one["metadata"]["name"]
            if service.spec(one).get("selector"):
                mine = [pod for pod in found if endpoints.selects(one, pod)]
                await self._put(_ENDPOINTS, endpoints.endpoints(one, mine), kept.get(name))
                wanted += endpoints.slices(one, mine)
            elif name in kept and not _is_ours(kept[name]):
                wanted += endpoints.mirrored(one, kept[name])
        await self._put_slices(wanted, pieces)
        await self._drop(services, kept)

    async def _put_slices(self, wanted: Sequence[Json], there: Sequence[Json]) -> None:
        before = {each["metadata"]["name"]: each for each in there}
        for each in wanted:
            await self._put(_SLICES, each, before.pop(each["metadata"]["name"], None))
        for each in before.values():
            labels = each["metadata"].get("labels") or {}
            if labels.get(endpoints.MANAGER_LABEL) in (endpoints.CONTROLLER, endpoints.MIRROR):
                await self._delete(_SLICES, each)

    async def _drop(self, services: Sequence[Json], kept: dict[str, Json]) -> None:
        """Endpoints go with their Service; those of a Service that has lost its selector stay, as somebody's to keep."""
        names = {each["metadata"]["name"] for each in services}
        for name, each in kept.items():
            if name not in names and _is_ours(each):
                await self._delete(_ENDPOINTS, each)

    async def _put(self, kind: Kind, wanted: Json, there: Json | None) -> None:
        kind.default(wanted, Context(rfc3339(self._clock.now()), ""))
        with contextlib.suppress(AlreadyExists, Conflict, NotFound):  # a newer version is on its way here
            if there is None:
                metadata = {**wanted["metadata"], "uid": ids.uid(), "creationTimestamp": rfc3339(self._clock.now())}
                if kind.has_generation:
                    metadata["generation"] = 1
                await self._store.create(kind, {**wanted, "metadata": metadata})
            elif (mended := _mended(kind, wanted, there)) != there:
                await self._store.update(kind, mended, int(there["metadata"]["resourceVersion"]))

    async def _delete(self, kind: Kind, obj: Json) -> None:
        with contextlib.suppress(Conflict, NotFound):
            await self._store.delete(kind, obj, int(obj["metadata"]["resourceVersion"]))

    # --- the API itself ----------------------------------------------------------------------------------------------------------------

    async def announce(self, host: str, port: int) -> None:
        """Make, or mend, the Service `kubernetes`: this API at the node's address in the Pod network (docs/decisions/0017)."""
        namespace, name = API
        metadata = {"name": name, "namespace": namespace, "labels": {"component": "apiserver", "provider": "kubernetes"}}
        ports = [{"name": "https", "port": port, "protocol": "TCP", "targetPort": port}]
        one: Json = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "status": {"loadBalancer": {}}}
        one["spec"] = {"clusterIP": host, "clusterIPs": [host], "ports": ports}
        subsets = [{"addresses": [{"ip": host}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}]
        labels = {endpoints.SKIP_MIRROR: "true"}
        kept = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name, "namespace": namespace, "labels": labels}}
        piece: Json = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4"}
        piece["metadata"] = {"name": name, "namespace": namespace, "labels": {service.NAME_LABEL: name}}
        piece["endpoints"] = [{"addresses": [host], "conditions": {"ready": True}}]
        piece["ports"] = [{"name": "https", "port": port, "protocol": "TCP"}]
        for kind, wanted in ((_SERVICES, one), (_ENDPOINTS, {**kept, "subsets": subsets}), (_SLICES, piece)):
            found = await self._store.find(kind, namespace, name)
            await self._put(kind, wanted, found[0] if found else None)


def _shown(pod: Json | None) -> tuple[Any, ...]:
    if pod is None:
        return ()
    metadata, status = pod["metadata"], pods.status(pod)
    ready = next((each.get("status") for each in status.get("conditions") or () if each["type"] == "Ready"), "")
    return metadata.get("labels"), metadata.get("deletionTimestamp"), status.get("podIP"), status.get("phase"), ready


def _is_ours(kept: Json) -> bool:
    labels = kept["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in endpoints.ENDPOINTS_MANAGER.items())


def _mended(kind: Kind, wanted: Json, there: Json) -> Json:
    """`there` with everything that `wanted` says, and nothing else but its system fields."""
    kept = {name: value for name, value in there["metadata"].items() if name not in ("labels", "ownerReferences", "managedFields")}
    metadata = {**kept, **wanted["metadata"]}
    if "managedFields" in there["metadata"]:
        metadata["managedFields"] = there["metadata"]["managedFields"]
    mended = {**wanted, "metadata": metadata}
    if kind.has_generation and wanted.get(kind.generation_of) != there.get(kind.generation_of):
        metadata["generation"] = int(there["metadata"].get("generation", 0)) + 1
    return mended
