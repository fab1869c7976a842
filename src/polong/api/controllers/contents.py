"""What is always there: the first namespaces, the system's priority classes; in each namespace the default account and the CA."""

from __future__ import annotations

import contextlib
from typing import Any

from polong.api.follow import follow
from polong.api.objectstore import ObjectStore
from polong.api.resources.configmaps import ConfigMaps
from polong.api.resources.kind import Kind
from polong.api.resources.namespaces import INITIAL, NAME_LABEL, Namespaces
from polong.api.resources.priorityclasses import SYSTEM, PriorityClasses
from polong.api.resources.serviceaccounts import DEFAULT, ServiceAccounts
from polong.kit import ids
from polong.kit.clock import Clock, rfc3339
from polong.kit.errors import AlreadyExists, Conflict, NotFound

Json = dict[str, Any]

ROOT_CA = "kube-root-ca.crt"
"""The ConfigMap of every namespace that holds the CA of this API, under the key ca.crt."""

_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or "
    "kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)
_NAMESPACES, _ACCOUNTS, _CONFIG_MAPS, _PRIORITIES = Namespaces(), ServiceAccounts(), ConfigMaps(), PriorityClasses()


class Contents:
    """`root_ca` is PEM; without it no namespace has a ConfigMap of it."""

    def __init__(self, store: ObjectStore, clock: Clock, root_ca: str) -> None:
        self._store = store
        self._clock = clock
        self._root_ca = root_ca

    async def begin(self) -> None:
        """Make what is missing; back when all of it is there."""
        for name in INITIAL:
            await self._make(
                _NAMESPACES,
                {
                    "apiVersion": "v1",
                    "kind": "Namespace",
                    "metadata": {"name": name, "labels": {NAME_LABEL: name}},
                    "spec": {"finalizers": ["kubernetes"]},
                    "status": {"phase": "Active"},
                },
            )
        for each in SYSTEM.values():
            await self._make(_PRIORITIES, each)
        for namespace in (await self._store.page(_NAMESPACES, "")).items:
            await self.ensure(namespace["metadata"]["name"])

    async def ensure(self, name: str) -> None:
        """Give a namespace what each has, unless it is on its way out."""
        found = await self._store.find(_NAMESPACES, "", name)
        if found is None or found[0]["metadata"].get("deletionTimestamp"):
            return
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": DEFAULT, "namespace": name}}
        await self._make(_ACCOUNTS, account)
        if self._root_ca:
            await self._root_ca_of(name)

    async def _root_ca_of(self, namespace: str) -> None:
        data = {"ca.crt": self._root_ca}
        found = await self._store.find(_CONFIG_MAPS, namespace, ROOT_CA)
        if found is None:
            metadata = {"name": ROOT_CA, "namespace": namespace, "annotations": {"kubernetes.io/description": _DESCRIPTION}}
            await self._make(_CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
        elif found[0].get("data") != data or found[0].get("binaryData"):
            mended = {name: value for name, value in found[0].items() if name != "binaryData"} | {"data": data}
            with contextlib.suppress(Conflict, NotFound):  # the next change brings us back here
                await self._store.update(_CONFIG_MAPS, mended, found[1])

    async def _make(self, kind: Kind, obj: Json) -> None:
        metadata = obj["metadata"]
        if await self._store.find(kind, metadata.get("namespace", ""), metadata["name"]) is None:
            stamped = {**obj, "metadata": {**metadata, "uid": ids.uid(), "creationTimestamp": rfc3339(self._clock.now())}}
            with contextlib.suppress(AlreadyExists):
                await self._store.create(kind, stamped)

    async def keep_namespaces(self) -> None:
        """Forever: fill new namespaces, however they came about."""
        async for change in follow(self._store, _NAMESPACES):
            if change.now is not None and change.before is None:
                await self.ensure(change.now["metadata"]["name"])

    async def keep_accounts(self) -> None:
        """Forever: make a default account again that somebody deleted."""
        await self._keep(_ACCOUNTS, DEFAULT)

    async def keep_root_ca(self) -> None:
        """Forever: make the CA's ConfigMap again, and mend it."""
        await self._keep(_CONFIG_MAPS, ROOT_CA)

    async def _keep(self, kind: Kind, name: str) -> None:
        async for change in follow(self._store, kind):
            touched = change.before or change.now
            if touched is not None and touched["metadata"]["name"] == name:
                await self.ensure(touched["metadata"]["namespace"])
