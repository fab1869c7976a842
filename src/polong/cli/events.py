"""`events`: what happened, oldest first, of a namespace or of one object; watched."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from polong.cli import output, resources
from polong.cli.api import Api
from polong.cli.describe_text import interval, last_seen
from polong.cli.errors import Failure
from polong.cli.flags import api_options, command, flag
from polong.cli.tabular import Table
from polong.cli.target import Target
from polong.objects.gvk import EVENTS

Json = dict[str, Any]

_EXAMPLES = """
polong events
polong events --for pod/nginx -w
polong events -A --types=Warning
"""


@command("events", help="List events.", examples=_EXAMPLES)
@click.option("--for", "about", default="", metavar="TYPE/NAME", help="Only those about one object.")
@click.option("--types", default="", metavar="TYPE[,TYPE]", help="Only Normal or Warning.")
@flag("-A", "--all-namespaces", help="All namespaces.")
@flag("-w", "--watch", help="After listing, watch for more.")
@flag("--no-headers", help="No heading line.")
@click.option("-o", "--output", "form", metavar="FORMAT", help="One of json|yaml|name|jsonpath=.")
@api_options
def events(target: Target, about: str, types: str, all_namespaces: bool, watch: bool, no_headers: bool, form: str | None) -> None:
    wanted = [kind for kind in types.split(",") if kind]
    for kind in wanted:
        if kind.lower() not in {"normal", "warning"}:
            raise Failure(f'valid --types are Normal or Warning: "{kind}"')
    show = _Show(output.parse(form), all_namespaces, not no_headers)
    target.run(lambda api: _events(api, about, {kind.title() for kind in wanted}, show, watch))


class _Show:
    def __init__(self, form: output.Format, everywhere: bool, headers: bool) -> None:
        self.form = form
        self.everywhere = everywhere
        columns = (["NAMESPACE"] if everywhere else []) + ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
        self._table = Table(columns, headers=headers)

    def rows(self, items: list[Json]) -> None:
        now = datetime.now(UTC)
        rows = []
        for event in items:
            about = event.get("involvedObject") or event.get("regarding") or {}
            row = [interval(event, now), event.get("type", ""), event.get("reason", ""), f"{about.get('kind', '')}/{about.get('name', '')}"]
            message = str(event.get("message") or event.get("note") or "").strip()
            rows.append([*([event["metadata"].get("namespace", "")] if self.everywhere else []), *row, message])
        output.emit("\n".join(self._table.lines(rows)) + "\n")


async def _events(api: Api, about: str, types: set[str], show: _Show, watch: bool) -> None:
    query = []
    kind = ""
    if about:
        word, slash, name = about.partition("/")
        if not slash or not name:
            raise Failure(f'--for takes TYPE/NAME, such as pod/nginx: "{about}"')
        kind = (await resources.lookup(api, word)).kind
        query = [("fieldSelector", f"involvedObject.kind={kind},involvedObject.name={name}")]
    path = EVENTS.path("" if show.everywhere else api.namespace)
    listing = await api.get(path, query)
    found = sorted((item for item in listing.get("items") or [] if not types or item.get("type") in types), key=last_seen)
    if not show.form.table:
        typed = [{"apiVersion": "v1", "kind": "Event", **item} for item in found]
        if show.form.kind == "name":
            output.emit("".join(f"event/{item['metadata']['name']}\n" for item in typed))
        else:
            output.emit(output.document(output.without_managed_fields(output.as_list(typed)), show.form))
        return
    if found:
        show.rows(found)
    elif not watch:
        click.echo("No events found" + ("." if show.everywhere else f" in {api.namespace} namespace."), err=True)
    if watch:
        async for event in api.watch(path, [*query, ("resourceVersion", listing["metadata"].get("resourceVersion", ""))]):
            if event["type"] != "DELETED" and (not types or event["object"].get("type") in types):
                show.rows([event["object"]])
