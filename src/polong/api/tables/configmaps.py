"""A ConfigMap as `kubectl get` shows it."""

from __future__ import annotations

from polong.api.tables.columns import AGE, NAME, Column

COLUMNS = (
    NAME,
    Column(
        "Data",
        lambda config, _: len(config.get("data") or {}) + len(config.get("binaryData") or {}),
        description="How many keys it has.",
    ),
    AGE,
)
