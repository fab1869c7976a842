"""`get`: tables as the server prints them, or objects in any format; lists, names, watches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from polong.cli import output, resources
from polong.cli.api import TABLE, Api
from polong.cli.errors import Failure
from polong.cli.flags import api_options, command, flag
from polong.cli.manifests import filename_options
from polong.cli.resources import Selection
from polong.cli.tabular import Table
from polong.cli.target import Target
from polong.kit.errors import NotFound

Json = dict[str, Any]

_EXAMPLES = """
polong get pods -o wide
polong get pod nginx -o jsonpath='{.status.containerStatuses[*].containerID}'
polong get pods,nodes -A
polong get pods -w -l app=web
"""


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


@command("get", help="List objects.", examples=_EXAMPLES)
@click.argument("what", nargs=-1, metavar="TYPE[,TYPE] [NAME...] | TYPE/NAME...")
@click.option("-o", "--output", "form", metavar="FORMAT", help="One of json|yaml|name|wide|jsonpath=|jsonpath-file=|custom-columns=.")
@flag("-w", "--watch", help="After listing, watch for changes.")
@flag("--watch-only", help="Watch for changes without listing first.")
@click.option("-l", "--selector", default="", metavar="LABELS", help="Label selector, such as app=web,tier!=db or 'env in (a,b)'.")
@click.option("--field-selector", default="", metavar="FIELDS", help="Field selector, such as status.phase=Running.")
@flag("-A", "--all-namespaces", help="All namespaces.")
@flag("--no-headers", help="No heading line.")
@flag("--show-labels", help="Labels in the last column.")
@click.option("-L", "--label-columns", multiple=True, metavar="LABEL", help="Labels to print as columns.")
@click.option("--sort-by", default="", metavar="JSONPATH", help="Sort by a field, such as .metadata.creationTimestamp.")
@flag("--ignore-not-found", help="No error where an object does not exist.")
@flag("--show-managed-fields", help="Keep managedFields in json and yaml.")
@filename_options
@api_options
def get(target: Target, what: tuple[str, ...], form: str | None, watch: bool, watch_only: bool, **flags: Any) -> None:  # noqa: ANN401
    filenames, recursive = flags.pop("filenames"), flags.pop("recursive")
    options = Options(
        output.parse(form),
        flags["selector"],
        flags["field_selector"],
        flags["all_namespaces"],
        not flags["no_headers"],
        flags["show_labels"],
        tuple(name for text in flags["label_columns"] for name in text.split(",")),
        flags["sort_by"],
        flags["ignore_not_found"],
        flags["show_managed_fields"],
    )
    target.run(lambda api: _get(api, what, options, (filenames, recursive), (watch or watch_only, watch_only)))


async def _get(api: Api, what: Sequence[str], options: Options, files: tuple[Sequence[str], bool], watching: tuple[bool, bool]) -> None:
    if files[0]:
        from polong.cli import manifests

        found = [(await resources.for_object(api, item.object), item.object) for item in manifests.read(files[0], recursive=files[1])]
        chosen = [Selection(resource, (obj.get("metadata", {}).get("name", ""),)) for resource, obj in found]
    else:
        chosen = await resources.select(api, what)
    if any(item.names for item in chosen):
        if options.selector:
            raise Failure("name cannot be provided when a selector is specified")
        if options.everywhere:
            raise Failure("a resource cannot be retrieved by name across all namespaces")
    if watching[0]:
        if len(chosen) != 1 or len(chosen[0].names) > 1:
            raise Failure("you may only specify a single resource type and name with --watch")
        from polong.cli.get_watch import watch as follow

        await follow(api, chosen[0], options, only=watching[1])
    elif options.form.table:
        await _tables(api, chosen, options)
    else:
        await _objects(api, chosen, options)


def path_of(api: Api, selection: Selection, everywhere: bool, name: str = "") -> str:
    return selection.resource.path("" if everywhere else api.namespace, name)


async def _tables(api: Api, chosen: Sequence[Selection], options: Options) -> None:
    """One table a kind; several kinds are printed with their type before the name, as kubectl does."""
    merged = _merge(chosen)
    printed, missing = 0, None
    for index, selection in enumerate(merged):
        tables: list[Json] = []
        for name in selection.names or ("",):
            try:
                full = bool(options.sort_by)
                tables.append(await api.get(path_of(api, selection, options.everywhere, name), options.query(full=full), accept=TABLE))
            except NotFound as error:
                missing = _tell(missing, error, options)
        rows = [row for table in tables for row in table.get("rows") or []]
        if rows:
            lines = TableView(selection, options, prefix=len(merged) > 1).lines(tables, rows)
            output.emit(("\n" if index and printed else "") + "\n".join(lines) + "\n")
            printed += len(rows)
    if missing is not None:
        raise missing
    if not printed and not any(item.names for item in merged):
        _nothing(api, merged, options)


def _tell(previous: NotFound | None, error: NotFound, options: Options) -> NotFound | None:
    """Keep going past a name that is not there; the last error decides the exit code, the others are told at once."""
    if options.ignore_not_found:
        return previous
    if previous is not None:
        from polong.cli.errors import explain
        from polong.cli.escape import block

        click.echo(block(explain(previous)), err=True)
    return error


def _nothing(api: Api, chosen: Sequence[Selection], options: Options) -> None:
    if options.ignore_not_found:
        return
    namespaced = any(item.resource.namespaced for item in chosen)
    where = f" in {api.namespace} namespace." if namespaced and not options.everywhere else ""
    click.echo(f"No resources found{where}", err=True)


def _merge(chosen: Sequence[Selection]) -> list[Selection]:
    names: dict[Any, list[str]] = {}
    for item in chosen:
        names.setdefault(item.resource, []).extend(item.names)
    return [Selection(resource, tuple(found)) for resource, found in names.items()]


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


def sort_objects(items: list[Json], path: str, key: Any = lambda item: item) -> list[Json]:  # noqa: ANN401
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


async def _objects(api: Api, chosen: Sequence[Selection], options: Options) -> None:
    objects: list[Json] = []
    missing: NotFound | None = None
    single = len(chosen) == 1 and len(chosen[0].names) == 1
    for selection in chosen:
        for name in selection.names or ("",):
            try:
                found = await api.get(path_of(api, selection, options.everywhere, name), options.query())
            except NotFound as error:
                missing = _tell(missing, error, options)
                continue
            objects += [found] if name else items_of(found, selection)
    if options.sort_by:
        objects = sort_objects(objects, options.sort_by)
    if objects or not single:
        _print(objects, options, single, chosen)
    if missing is not None:
        raise missing


def items_of(listing: Json, selection: Selection) -> list[Json]:
    """A list's items with the kind and version that lists leave out."""
    resource = selection.resource
    return [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in listing.get("items") or []]


def _print(objects: list[Json], options: Options, single: bool, chosen: Sequence[Selection]) -> None:
    form = options.form
    if form.kind == "name":
        output.emit("".join(name_of(obj, chosen) + "\n" for obj in objects))
    elif form.kind == "custom-columns":
        output.emit("\n".join(output.custom_columns(form.template, objects, headers=options.headers)) + "\n")
    else:
        shown = objects[0] if single and objects else output.as_list(objects)
        output.emit(output.document(shown if options.managed_fields else output.without_managed_fields(shown), form))


def name_of(obj: Json, chosen: Sequence[Selection]) -> str:
    resource = next((item.resource for item in chosen if item.resource.kind == obj.get("kind")), chosen[0].resource)
    return f"{resources.title(resource)}/{obj.get('metadata', {}).get('name', '')}"
