"""Seam S3: `ports.Api` over the REST client, in process or over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from polong.client.rest import Client, DeleteOptions, ListOptions, PatchType
from polong.client.watch import ListWatch
from polong.kit.clock import Clock
from polong.kit.errors import Unsupported
from polong.kubelet.ports import Api
from polong.objects.gvk import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    EVENTS,
    LEASES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    RUNTIME_CLASSES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)
from polong.objects.podreferences import CLAIM, CONFIG_MAP, SECRET, Reference

Json = dict[str, Any]

_REFERRED: Mapping[str, Resource] = {CLAIM: PERSISTENT_VOLUME_CLAIMS, CONFIG_MAP: CONFIG_MAPS, SECRET: SECRETS}


class ApiClient:
    def __init__(self, client: Client, clock: Clock | None = None) -> None:
        self._client = client
        self._clock = clock

    async def pods(self, node_name: str) -> AsyncIterator[tuple[str, Json]]:
        async for change in ListWatch(self._client, PODS, "", ListOptions(fields=f"spec.nodeName={node_name}"), clock=self._clock):
            yield change.type, change.object

    async def create_pod(self, pod: Json) -> Json:
        return await self._client.create(PODS, pod, pod["metadata"]["namespace"])

    async def patch_pod_status(self, namespace: str, name: str, patch: Json) -> Json:
        return await self._client.patch(PODS, name, patch, namespace, kind=PatchType.MERGE, subresource="status")

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        await self._client.delete(PODS, name, namespace, DeleteOptions(grace_period=0, uid=uid))

    async def referred(self, namespace: str, reference: Reference) -> AsyncIterator[tuple[str, Json]]:
        resource = _REFERRED.get(reference.kind)
        if resource is None:
            raise Unsupported(f"objects of kind {reference.kind} are not served")
        only = ListOptions(fields=f"metadata.name={reference.name}")
        async for change in ListWatch(self._client, resource, namespace, only, clock=self._clock):
            yield change.type, change.object

    async def services(self) -> AsyncIterator[tuple[str, Json]]:
        async for change in ListWatch(self._client, SERVICES, clock=self._clock):
            yield change.type, change.object

    async def endpoint_slices(self) -> AsyncIterator[tuple[str, Json]]:
        async for change in ListWatch(self._client, ENDPOINT_SLICES, clock=self._clock):
            yield change.type, change.object

    async def create_token(self, namespace: str, account: str, request: Json) -> Json:
        return await self._client.create(SERVICE_ACCOUNTS, request, namespace, name=account, subresource="token")

    async def claimed_volumes(self) -> frozenset[str]:
        listing = await self._client.list(PERSISTENT_VOLUME_CLAIMS, "")
        return frozenset(str((each.get("spec") or {}).get("volumeName") or "") for each in listing["items"])

    async def runtime_handler(self, runtime_class: str) -> str:
        return str((await self._client.get(RUNTIME_CLASSES, runtime_class))["handler"])

    async def create_event(self, event: Json) -> Json:
        return await self._client.create(EVENTS, event, event["metadata"]["namespace"])

    async def patch_event(self, namespace: str, name: str, patch: Json) -> Json:
        return await self._client.patch(EVENTS, name, patch, namespace, kind=PatchType.MERGE)

    async def get_node(self, name: str) -> Json:
        return await self._client.get(NODES, name)

    async def create_node(self, node: Json) -> Json:
        return await self._client.create(NODES, node)

    async def patch_node(self, name: str, patch: Json, *, status: bool) -> Json:
        return await self._client.patch(NODES, name, patch, kind=PatchType.MERGE, subresource="status" if status else "")

    async def create_lease(self, lease: Json) -> Json:
        return await self._client.create(LEASES, lease, lease["metadata"]["namespace"])

    async def patch_lease(self, namespace: str, name: str, patch: Json) -> Json:
        return await self._client.patch(LEASES, name, patch, namespace, kind=PatchType.MERGE)


_: type[Api] = ApiClient
