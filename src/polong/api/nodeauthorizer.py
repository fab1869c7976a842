"""What a kubelet may do: Kubernetes' node authorizer and NodeRestriction in small, for an API of one node.

Every Pod of this API is bound to its one node, so "Pods bound to itself" is: this node, all Pods. Another node may do nothing.
Source: plugin/pkg/auth/authorizer/node (node_authorizer.go, rules of system:node), plugin/pkg/admission/noderestriction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from polong.api.paths import Target
from polong.api.service import User
from polong.objects.podreferences import CONFIG_MAP, SECRET, Reference

NODES = "system:nodes"
PREFIX = "system:node:"
LEASES = "kube-node-lease"

# (API group, resource, subresource) -> verbs. What is read of Pods and written of nodes is narrowed further below.
_RULES: Mapping[tuple[str, str, str], frozenset[str]] = {
    ("", "pods", ""): frozenset({"create", "get", "list", "watch", "delete"}),
    ("", "pods", "status"): frozenset({"get", "patch", "update"}),
    ("", "nodes", ""): frozenset({"create", "get", "patch", "update"}),
    ("", "nodes", "status"): frozenset({"get", "patch", "update"}),
    ("", "configmaps", ""): frozenset({"get", "list", "watch"}),
    ("", "secrets", ""): frozenset({"get", "list", "watch"}),
    ("", "persistentvolumeclaims", ""): frozenset({"get", "list", "watch"}),
    ("", "services", ""): frozenset({"get", "list", "watch"}),
    ("discovery.k8s.io", "endpointslices", ""): frozenset({"get", "list", "watch"}),
    ("node.k8s.io", "runtimeclasses", ""): frozenset({"get", "list", "watch"}),
    ("", "serviceaccounts", ""): frozenset({"get"}),
    ("", "serviceaccounts", "token"): frozenset({"create"}),
    ("", "events", ""): frozenset({"create", "patch", "update"}),
    ("events.k8s.io", "events", ""): frozenset({"create", "patch", "update"}),
    ("coordination.k8s.io", "leases", ""): frozenset({"create", "delete", "get", "patch", "update"}),
}
_ONE_BY_ONE = {"configmaps": CONFIG_MAP, "secrets": SECRET}


def _names_one(query: Sequence[tuple[str, str]]) -> bool:
    selectors = [value for name, value in query if name == "fieldSelector"]
    return len(selectors) == 1 and re.fullmatch(r"metadata\.name=[-.a-z0-9]+", selectors[0], re.ASCII) is not None


def reference(target: Target, query: Sequence[tuple[str, str]]) -> Reference | None:
    """Which object is read of those that a node may read only where one of its Pods refers to it; None for any other request."""
    kind = _ONE_BY_ONE.get(target.resource) if not target.group and not target.subresource else None
    if kind is None:
        return None
    selector = next((value for name, value in query if name == "fieldSelector"), "")
    return Reference(kind, target.name or selector.removeprefix("metadata.name="))


def unrelated(user: User, wanted: Reference) -> str:
    """What such a node is told where none does."""
    return f"no relationship found between node '{user.name.removeprefix(PREFIX)}' and this object ({wanted.kind.lower()} {wanted.name})"


def is_node(user: User) -> bool:
    return NODES in user.groups and user.name.startswith(PREFIX)


def refusal(user: User, verb: str, target: Target, query: Sequence[tuple[str, str]], node_name: str) -> str:
    """Why this node may not; empty where it may."""
    name = user.name.removeprefix(PREFIX)
    if name != node_name:
        return f'unknown node "{name}"'
    if verb not in _RULES.get((target.group, target.resource, target.subresource), frozenset()):
        return "no rule of system:node allows it"
    if target.resource == "pods" and verb in ("list", "watch") and ("fieldSelector", f"spec.nodeName={name}") not in query:
        return "can only list and watch pods of its own node: fieldSelector spec.nodeName"
    if target.resource in _ONE_BY_ONE and (not target.namespace or not (target.name or _names_one(query))):
        return f"can only read {target.resource} one by one: by name, or with fieldSelector metadata.name"
    if target.resource in ("nodes", "leases") and target.name not in ("", name):
        return f"node '{name}' may only read and write its own {target.resource}"
    if target.resource == "leases" and target.namespace != LEASES:
        return f"a node's lease is in the namespace {LEASES}"
    return ""
