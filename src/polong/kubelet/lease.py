"""The node's Lease: a sign of life that costs less than a status.

Source: KEP-589, kubelet nodelease; k8s.io/component-helpers/apimachinery/lease.
"""

from __future__ import annotations

import logging
from typing import Any

from polong.kit.clock import Clock, rfc3339_micro
from polong.kit.errors import AlreadyExists, NotFound, PolongError
from polong.kubelet.ports import Api

Json = dict[str, Any]

_log = logging.getLogger(__name__)
NAMESPACE = "kube-node-lease"
DURATION = 40
"""Seconds for which a renewal counts."""
_PER_DURATION = 4


class NodeLease:
    def __init__(self, api: Api, node_name: str, clock: Clock) -> None:
        self._api = api
        self._node_name = node_name
        self._clock = clock

    async def run(self) -> None:
        """Forever: renew four times in each duration."""
        while True:
            try:
                await self.renew()
            except PolongError as error:
                _log.warning("cannot renew the lease of node %s: %s", self._node_name, error)
            await self._clock.sleep(DURATION / _PER_DURATION)

    async def renew(self) -> None:
        now = rfc3339_micro(self._clock.now())
        spec = {"holderIdentity": self._node_name, "leaseDurationSeconds": DURATION, "renewTime": now}
        try:
            await self._api.patch_lease(NAMESPACE, self._node_name, {"spec": spec})
        except NotFound:
            await self._create(spec)

    async def _create(self, spec: Json) -> None:
        """Owned by the Node, so that the lease goes with it."""
        node = await self._api.get_node(self._node_name)
        owner = {"apiVersion": "v1", "kind": "Node", "name": self._node_name, "uid": node["metadata"].get("uid", "")}
        metadata = {"name": self._node_name, "namespace": NAMESPACE, "ownerReferences": [owner]}
        try:
            await self._api.create_lease({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})
        except AlreadyExists:
            return
