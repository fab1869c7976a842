"""`get`: tables as the server prints them, or objects in any format; lists, names, watches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from polong.cli import output, resources
from polong.cli.api import TABLE, Api
from polong.cli.errors import Failure
from polong.cli.flags import api_options, command, flag, option
from polong.cli.get_view import Options, TableView, items_of, name_of, path_of, sort_objects
from polong.cli.manifests import filename_options
from polong.cli.resources import Selection
from polong.cli.target import Target
from polong.kit.errors import NotFound

Json = dict[str, Any]

_EXAMPLES = """
polong get pods -o wide
polong get pod nginx -o jsonpath='{.status.containerStatuses[*].containerID}'
polong get pods,nodes -A
polong get pods -w -l app=web
"""


@command("get", help="List objects.", examples=_EXAMPLES)
@click.argument("what", nargs=-1, metavar="TYPE[,TYPE] [NAME...] | TYPE/NAME...")
@option("-o", "--output", "form", metavar="FORMAT", help="One of json|yaml|name|wide|jsonpath=|jsonpath-file=|custom-columns=.")
@flag("-w", "--watch", help="After listing, watch for changes.")
@flag("--watch-only", help="Watch for changes without listing first.")
@option("-l", "--selector", default="", metavar="LABELS", help="Label selector, such as app=web,tier!=db or 'env in (a,b)'.")
@option("--field-selector", default="", metavar="FIELDS", help="Field selector, such as status.phase=Running.")
@flag("-A", "--all-namespaces", help="All namespaces.")
@flag("--no-headers", help="No heading line.")
@flag("--show-labels", help="Labels in the last column.")
@option("-L", "--label-columns", multiple=True, metavar="LABEL", help="Labels to print as columns.")
@option("--sort-by", default="", metavar="JSONPATH", help="Sort by a field, such as .metadata.creationTimestamp.")
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
    ask = target.run if watch or watch_only else target.ask
    ask(lambda api: _get(api, what, options, (filenames, recursive), (watch or watch_only, watch_only)))


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


def _print(objects: list[Json], options: Options, single: bool, chosen: Sequence[Selection]) -> None:
    form = options.form
    if form.kind == "name":
        output.emit("".join(name_of(obj, chosen) + "\n" for obj in objects))
    elif form.kind == "custom-columns":
        output.emit("\n".join(output.custom_columns(form.template, objects, headers=options.headers)) + "\n")
    else:
        shown = objects[0] if single and objects else output.as_list(objects)
        output.emit(output.document(shown if options.managed_fields else output.without_managed_fields(shown), form))
