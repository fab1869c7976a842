"""Aggregated ClusterRoles. Pure. Source: pkg/controller/clusterroleaggregation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from polong.api.authorization.rules import merged

Json = dict[str, Any]

_ROUNDS = 8


def stale(roles: Sequence[Json]) -> Iterator[tuple[str, list[Json]]]:
    """Names and new rules of aggregated roles whose stored rules are not those of the roles that they select. One aggregated role may
    select another: a few rounds settle that."""
    now: dict[str, list[Json]] = {role["metadata"]["name"]: list(role.get("rules") or ()) for role in roles}
    aggregated = [role for role in roles if role.get("aggregationRule")]
    for _ in range(_ROUNDS):
        before = {name: list(rules) for name, rules in now.items()}
        for role in aggregated:
            selected = sorted(
                (other["metadata"]["name"] for other in roles if other is not role and _selected(role, other)),
            )
            now[role["metadata"]["name"]] = merged(now[name] for name in selected)
        if now == before:
            break
    for role in aggregated:
        name = role["metadata"]["name"]
        if now[name] != (role.get("rules") or []):
            yield name, now[name]


def _selected(role: Json, other: Json) -> bool:
    labels = other["metadata"].get("labels") or {}
    return any(_matches(selector, labels) for selector in role["aggregationRule"].get("clusterRoleSelectors") or ())


def _matches(selector: Json, labels: Mapping[str, str]) -> bool:
    """A metav1.LabelSelector."""
    if any(labels.get(name) != value for name, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression(one, labels) for one in selector.get("matchExpressions") or ())


def _expression(one: Json, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(one.get("key", "")), one.get("values") or ()
    match one.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    return False
