"""Objects and lists to meta.k8s.io Table and PartialObjectMetadata."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from polong.api.tables.columns import Column

Json = dict[str, Any]

OBJECT_POLICIES = ("None", "Metadata", "Object")


def partial_object(obj: Json, version: str = "v1") -> Json:
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}


def partial_list(items: Sequence[Json], metadata: Json, version: str = "v1") -> Json:
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "items": [partial_object(item, version) for item in items],
    }


def rows(columns: Sequence[Column], items: Sequence[Json], now: datetime, include: str, version: str) -> list[Json]:
    """`include` is Metadata (rows carry PartialObjectMetadata), Object or None."""
    result = []
    for item in items:
        row: Json = {"cells": [column.render(item, now) for column in columns]}
        if include == "Object":
            row["object"] = item
        elif include != "None":
            row["object"] = partial_object(item, version)
        result.append(row)
    return result


def table(columns: Sequence[Column], table_rows: list[Json], metadata: Json, version: str = "v1", *, definitions: bool = True) -> Json:
    """In a watch only the first Table has column definitions."""
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": [column.definition() for column in columns] if definitions else None,
        "rows": table_rows,
    }
