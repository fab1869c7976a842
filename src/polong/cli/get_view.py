"""What `get` and its watch share: the flags, paths, tables of the server turned into lines, sorting, names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from polong.cli import output, resources
from polong.cli.api import Api
from polong.cli.resources import Selection
from polong.cli.tabular import Table

Json = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """The flags of `get`, as far as they shape requests and output."""

    form: output.Format
    selector: str = ""
    field_selector: str = ""
    everywhere: bool = False
    headers: bool = True
    show_labels: bool = False
    label_columns: tuple[str, ...] = ()
    sort_by: str = ""
    ignore_not_found: bool = False
    managed_fields: bool = False

    def query(self, *, full: bool = False) -> list[tuple[str, str]]:
        pairs = [("labelSelector", self.selector), ("fieldSelector", self.field_selector), ("includeObject", "Object" if full else "")]
        return [(name, value) for name, value in pairs if value]


def path_of(api: Api, selection: Selection, everywhere: bool, name: str = "") -> str:
    return selection.resource.path("" if everywhere else api.namespace, name)


def items_of(listing: Json, selection: Selection) -> list[Json]:
    """A list's items with the kind and version that lists leave out."""
    resource = selection.resource
    return [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in listing.get("items") or []]


def name_of(obj: Json, chosen: Sequence[Selection]) -> str:
    resource = next((item.resource for item in chosen if item.resource.kind == obj.get("kind")), chosen[0].resource)
    return f"{resources.title(resource)}/{obj.get('metadata', {}).get('name', '')}"


class TableView:
    """Turns the server's Tables into lines: which columns, what stands before and after them."""

    def __init__(self, selection: Selection, options: Options, *, prefix: bool) -> None:
        self._prefix = resources.title(selection.resource) + "/" if prefix else ""
        self._namespaces = options.everywhere and selection.resource.namespaced
        self._options = options
        self._table: Table | None = None
        self._columns: list[Json] = []

    def remember(self, table: Json) -> None:
        """The columns of a list without rows."""
        self._columns = table.get("columnDefinitions") or self._columns

    def lines(self, tables: Sequence[Json], rows: list[Json]) -> list[str]:
        """`rows` of `tables` (their columns come with the first one that has any)."""
        if not self._columns:
            self._columns = next((table["columnDefinitions"] for table in tables if table.get("columnDefinitions")), [])
        shown = [i for i, column in enumerate(self._columns) if not column.get("priority") or self._options.form.kind == "wide"]
        if self._table is None:
            names = ["NAMESPACE"] if self._namespaces else []
            names += [self._columns[i].get("name", "") for i in shown]
            names += [name.rpartition("/")[2] for name in self._options.label_columns] + (["LABELS"] if self._options.show_labels else [])
            self._table = Table(names, headers=self._options.headers)
        if self._options.sort_by:
            rows = sort_rows(rows, self._options.sort_by)
        return self._table.lines([self._row(row, shown) for row in rows])

    def _row(self, row: Json, shown: Sequence[int]) -> list[object]:
        metadata = (row.get("object") or {}).get("metadata") or {}
        values = row.get("cells") or []
        cells = [_cell(values[i]) if i < len(values) else "" for i in shown]
        if self._prefix and cells:
            cells[0] = f"{self._prefix}{cells[0]}"
        labels = metadata.get("labels") or {}
        before = [metadata.get("namespace", "")] if self._namespaces else []
        after = [labels.get(name, "") for name in self._options.label_columns]
        if self._options.show_labels:
            after.append(",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>")
        return [*before, *cells, *after]


def _cell(value: object) -> str:
    """Go's fmt of a decoded JSON value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<none>" if value is None else str(value)


def sort_rows(rows: list[Json], path: str) -> list[Json]:
    return sort_objects(rows, path, key=lambda row: row.get("object") or {})


def sort_objects(items: list[Json], path: str, key: Callable[[Json], Json] = lambda item: item) -> list[Json]:
    """By the value at a JSONPath: numbers by size, text by text, what has none first."""
    from polong.objects import jsonpath

    template = output.relaxed(path)

    def rank(item: Json) -> tuple[int, float, str]:
        found = list(jsonpath.values(template, key(item)))
        if not found:
            return (0, 0.0, "")
        value = found[0]
        return (1, float(value), "") if isinstance(value, int | float) else (2, 0.0, str(value))

    return sorted(items, key=rank)
