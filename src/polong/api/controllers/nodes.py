"""Taints that follow from a node's conditions: nothing new is placed where it could not run.

Source: pkg/controller/nodelifecycle (nodeConditionToTaintKeyStatusMap), plugin/pkg/admission/nodetaint. Unlike there, a node that is not
ready keeps its Pods: they have nowhere else to go, and a runtime that comes back finds them running.
"""

from __future__ import annotations

import contextlib
from typing import Any

from polong.api.follow import follow
from polong.api.objectstore import ObjectStore
from polong.api.resources.nodes import Nodes
from polong.kit.errors import Conflict, NotFound
from polong.objects import conditions

Json = dict[str, Any]

_NODES = Nodes()
_PREFIX = "node.kubernetes.io/"
_BY_CONDITION = {
    "MemoryPressure": "memory-pressure",
    "DiskPressure": "disk-pressure",
    "PIDPressure": "pid-pressure",
    "NetworkUnavailable": "network-unavailable",
}
_MANAGED = frozenset(_PREFIX + name for name in ("not-ready", "unreachable", "unschedulable", *_BY_CONDITION.values()))


def taints(node: Json) -> list[Json]:
    """What the node's taints should be. Pure."""
    spec, found = node.get("spec") or {}, (node.get("status") or {}).get("conditions")
    ready = conditions.find(found, "Ready")
    wanted = []
    if ready is not None and ready.get("status") == "Unknown":
        wanted.append("unreachable")
    elif ready is None or ready.get("status") != "True":
        wanted.append("not-ready")
    wanted += [name for condition, name in _BY_CONDITION.items() if conditions.is_true(found, condition)]
    if spec.get("unschedulable"):
        wanted.append("unschedulable")
    keys = [_PREFIX + name for name in wanted]
    present = spec.get("taints") or []
    kept = [each for each in present if each.get("key") not in _MANAGED or each.get("effect") != "NoSchedule" or each["key"] in keys]
    there = {each["key"] for each in kept if each.get("effect") == "NoSchedule"}
    return [*kept, *({"key": key, "effect": "NoSchedule"} for key in keys if key not in there)]


class NodeTaints:
    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def run(self) -> None:
        """Forever."""
        async for change in follow(self._store, _NODES):
            for node in change.all or ([change.now] if change.now is not None else []):
                await self._mend(node)

    async def _mend(self, node: Json) -> None:
        wanted = taints(node)
        if wanted == ((node.get("spec") or {}).get("taints") or []):
            return
        spec = {**(node.get("spec") or {}), "taints": wanted}
        if not wanted:
            del spec["taints"]
        with contextlib.suppress(Conflict, NotFound):  # a newer version is on its way here
            await self._store.update(_NODES, {**node, "spec": spec}, int(node["metadata"]["resourceVersion"]))
