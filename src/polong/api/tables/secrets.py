"""A Secret as `kubectl get` shows it."""

from __future__ import annotations

from polong.api.tables.columns import AGE, NAME, Column

COLUMNS = (
    NAME,
    Column("Type", lambda secret, _: str(secret.get("type", "")), description="Tells programs what the keys mean."),
    Column("Data", lambda secret, _: len(secret.get("data") or {}), description="How many keys it has."),
    AGE,
)
