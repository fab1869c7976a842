"""A PriorityClass as `kubectl get` shows it. Source: printers.go (printPriorityClass)."""

from __future__ import annotations

from polong.api.tables.columns import AGE, NAME, Column

COLUMNS = (
    NAME,
    Column(
        "Value",
        lambda priority, _: int(priority.get("value", 0)),
        type="integer",
        description="The priority that Pods of this class get.",
    ),
    Column(
        "Global-Default",
        lambda priority, _: bool(priority.get("globalDefault")),
        type="boolean",
        description="Whether Pods that name no class are of this one.",
    ),
    AGE,
    Column(
        "PreemptionPolicy",
        lambda priority, _: str(priority.get("preemptionPolicy", "")),
        description="Whether Pods of this class may displace others.",
    ),
)
