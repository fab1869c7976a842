"""A ResourceQuota as `kubectl get` shows it. Source: printers.go (printResourceQuota)."""

from __future__ import annotations

from typing import Any

from polong.api.tables.columns import AGE, NAME, Column

Json = dict[str, Any]


def _amounts(quota: Json, *, limits: bool) -> str:
    """`pods: 1/3, requests.cpu: 100m/1`: used of hard, sorted."""
    status = quota.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    chosen = sorted(name for name in hard if name.startswith("limits.") is limits)
    return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in chosen)


COLUMNS = (
    NAME,
    Column("Request", lambda quota, _: _amounts(quota, limits=False), description="Used and allowed, of requests and of counts."),
    Column("Limit", lambda quota, _: _amounts(quota, limits=True), description="Used and allowed, of limits."),
    AGE,
)
