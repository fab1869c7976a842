"""A Namespace as `kubectl get` shows it."""

from __future__ import annotations

from polong.api.tables.columns import AGE, NAME, Column

COLUMNS = (
    NAME,
    Column(
        "Status",
        lambda namespace, _: str((namespace.get("status") or {}).get("phase", "")),
        description="The status of the namespace",
    ),
    AGE,
)
