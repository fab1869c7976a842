"""A Node as `kubectl get` shows it. Source: printers.go (printNode)."""

from __future__ import annotations

from typing import Any

from polong.api.tables.columns import AGE, NAME, Column
from polong.objects import conditions

Json = dict[str, Any]

_ROLE = "node-role.kubernetes.io/"


def _status(node: Json) -> str:
    ready = conditions.find((node.get("status") or {}).get("conditions"), "Ready")
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if (node.get("spec") or {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(node: Json) -> str:
    labels = node["metadata"].get("labels") or {}
    roles = {label.removeprefix(_ROLE) for label in labels if label.startswith(_ROLE) and label != _ROLE}
    if named := labels.get("kubernetes.io/role"):
        roles.add(named)
    return ",".join(sorted(roles)) or "<none>"


def _address(node: Json, kind: str) -> str:
    addresses = (node.get("status") or {}).get("addresses") or ()
    return next((str(entry["address"]) for entry in addresses if entry.get("type") == kind), "<none>")


def _info(node: Json, field: str) -> str:
    return str(((node.get("status") or {}).get("nodeInfo") or {}).get(field) or "<unknown>")


COLUMNS = (
    NAME,
    Column("Status", lambda node, _: _status(node), description="The status of the node"),
    Column("Roles", lambda node, _: _roles(node), description="The roles of the node"),
    AGE,
    Column("Version", lambda node, _: _info(node, "kubeletVersion"), description="Version of the node's agent."),
    Column("Internal-IP", lambda node, _: _address(node, "InternalIP"), priority=1),
    Column("External-IP", lambda node, _: _address(node, "ExternalIP"), priority=1),
    Column("OS-Image", lambda node, _: _info(node, "osImage"), priority=1),
    Column("Kernel-Version", lambda node, _: _info(node, "kernelVersion"), priority=1),
    Column("Container-Runtime", lambda node, _: _info(node, "containerRuntimeVersion"), priority=1),
)
