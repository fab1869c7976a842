"""Objects and lists to meta.k8s.io Table and PartialObjectMetadata."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from polong.api.tables.columns import Column

Json = dict[str, Any]

OBJECT_POLICIES = ("None", "Metadata", "Object")


def partial_object(obj: Json, version: str = "v1") -> Json:
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}


def row(columns: Sequence[Column], item: Json, now: datetime, shown: Json | msgspec.Raw | None) -> Json:
    """`shown` is what goes with the cells: the object, its metadata, or nothing (None)."""
    cells: Json = {"cells": [column.render(item, now) for column in columns]}
    return cells if shown is None else cells | {"object": shown}


def table(columns: Sequence[Column], table_rows: list[Json], metadata: Json, version: str = "v1", *, definitions: bool = True) -> Json:
    """In a watch only the first Table has column definitions."""
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": [column.definition() for column in columns] if definitions else None,
        "rows": table_rows,
    }
