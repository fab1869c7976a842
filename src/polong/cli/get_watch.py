"""`get -w`: the list, then what changes, in the same columns."""

from __future__ import annotations

from typing import Any

from polong.cli import output
from polong.cli.api import TABLE, Api
from polong.cli.get_view import Options, TableView, name_of, path_of
from polong.cli.resources import Selection

Json = dict[str, Any]


async def watch(api: Api, selection: Selection, options: Options, *, only: bool) -> None:
    """Until interrupted. A single name is watched through its list, as kubectl does."""
    query = options.query()
    if selection.names:
        query = [*query, ("fieldSelector", f"metadata.name={selection.names[0]}")]
        await api.get(path_of(api, selection, options.everywhere, selection.names[0]))
    path = path_of(api, selection, options.everywhere)
    accept = TABLE if options.form.table else None
    listing = await api.get(path, query, accept=accept)
    show = _Tables(selection, options) if options.form.table else _Documents(selection, options)
    if not only:
        show.listing(listing)
    version = listing.get("metadata", {}).get("resourceVersion", "")
    async for event in api.watch(path, [*query, ("resourceVersion", version)], accept=accept):
        if event.get("type") in {"ADDED", "MODIFIED", "DELETED"}:
            show.event(event["object"])


class _Tables:
    def __init__(self, selection: Selection, options: Options) -> None:
        self._view = TableView(selection, options, prefix=False)

    def listing(self, table: Json) -> None:
        if table.get("rows"):
            self._emit(table, table["rows"])
        else:
            self._view.remember(table)

    def event(self, table: Json) -> None:
        self._emit(table, table.get("rows") or [])

    def _emit(self, table: Json, rows: list[Json]) -> None:
        lines = self._view.lines([table], rows)
        if lines:
            output.emit("\n".join(lines) + "\n")


class _Documents:
    def __init__(self, selection: Selection, options: Options) -> None:
        self._selection = selection
        self._options = options
        self._first = True

    def listing(self, listing: Json) -> None:
        for item in listing.get("items") or []:
            self.event({"apiVersion": self._selection.resource.api_version, "kind": self._selection.resource.kind, **item})

    def event(self, obj: Json) -> None:
        form = self._options.form
        if form.kind == "name":
            output.emit(name_of(obj, [self._selection]) + "\n")
        elif form.kind == "custom-columns":
            lines = output.custom_columns(form.template, [obj], headers=self._first and self._options.headers)
            output.emit("\n".join(lines) + "\n")
        else:
            output.emit(output.document(output.without_managed_fields(obj), form, first=self._first))
        self._first = False
