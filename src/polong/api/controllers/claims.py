"""PersistentVolumeClaims: bound to a volume of their own at once, and not let go while a Pod uses them.

The volume is a directory of the node, made by the kubelet when the first Pod mounts it and removed when the claim is gone; its name is
`pvc-` and the claim's UID, so that a claim of the same name made later never sees what an earlier one held.
Source: pkg/controller/volume/persistentvolume, pkg/controller/volume/pvcprotection.
"""

from __future__ import annotations

from typing import Any

from polong.api.eventlog import EventLog
from polong.api.follow import follow
from polong.api.objectstore import ObjectStore
from polong.api.resources.kind import Kind
from polong.api.resources.persistentvolumeclaims import CLASS, PROTECTION, PersistentVolumeClaims
from polong.kit.clock import Clock
from polong.kit.errors import Conflict, NotFound
from polong.objects import pod as pods
from polong.objects.podreferences import CLAIM, Reference, of_pod

Json = dict[str, Any]

_CLAIMS = PersistentVolumeClaims()


class Claims:
    def __init__(self, store: ObjectStore, pods_kind: Kind, clock: Clock) -> None:
        self._store = store
        self._pods = pods_kind
        self._events = EventLog(store, clock, "persistentvolume-controller")

    async def watch_claims(self) -> None:
        """Forever: bind, grow, and let go of what nobody uses."""
        async for change in follow(self._store, _CLAIMS):
            for claim in change.all or ([change.now] if change.now is not None else []):
                await self._mend(claim)

    async def watch_pods(self) -> None:
        """Forever: look again at claims whose Pod has ended."""
        async for change in follow(self._store, self._pods):
            if change.before is None or not (change.now is None or pods.is_finished(change.now)):
                continue
            for reference in of_pod(change.before):
                if reference.kind == CLAIM:
                    found = await self._store.find(_CLAIMS, pods.namespace(change.before), reference.name)
                    if found is not None and found[0]["metadata"].get("deletionTimestamp"):
                        await self._mend(found[0])

    async def _mend(self, claim: Json) -> None:
        wanted = await self._released(claim) if claim["metadata"].get("deletionTimestamp") else await self._bound(claim)
        if wanted is None or wanted == claim:
            return
        metadata, revision = wanted["metadata"], int(claim["metadata"]["resourceVersion"])
        try:
            if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
                await self._store.delete(_CLAIMS, wanted, revision)
            else:
                await self._store.update(_CLAIMS, wanted, revision)
        except (Conflict, NotFound):
            return  # a newer version is on its way here

    async def _bound(self, claim: Json) -> Json | None:
        spec = claim["spec"]
        if spec["storageClassName"] != CLASS:
            text = f'storageclass.storage.k8s.io "{spec["storageClassName"]}" not found; the one class of this node is {CLASS}'
            await self._events.record(claim, "ProvisioningFailed", text, warning=True)
            return None
        volume = spec.get("volumeName") or f"pvc-{claim['metadata']['uid']}"
        if volume != f"pvc-{claim['metadata']['uid']}":
            await self._events.record(
                claim, "FailedBinding", f'volume "{volume}" cannot be had: volumes are made for their claims', warning=True
            )
            return None
        capacity = {"storage": spec["resources"]["requests"]["storage"]}
        status = {**(claim.get("status") or {}), "phase": "Bound", "accessModes": spec["accessModes"], "capacity": capacity}
        if (claim.get("status") or {}).get("phase") != "Bound":
            await self._events.record(claim, "ProvisioningSucceeded", f"Successfully provisioned volume {volume}")
        return {**claim, "spec": {**spec, "volumeName": volume}, "status": status}

    async def _released(self, claim: Json) -> Json | None:
        """Without our finalizer, once no Pod that may still run refers to it."""
        metadata = claim["metadata"]
        mine = Reference(CLAIM, metadata["name"])
        for pod in (await self._store.page(self._pods, metadata["namespace"])).items:
            if not pods.is_finished(pod) and mine in of_pod(pod):
                return None
        kept = [each for each in metadata.get("finalizers") or () if each != PROTECTION]
        return {**claim, "metadata": {**metadata, "finalizers": kept}}
