"""`label` and `annotate`: `KEY=VALUE` sets, `KEY-` removes."""

from __future__ import annotations

from typing import Any

import click

from polong.cli import resources
from polong.cli.api import MERGE, Api
from polong.cli.errors import Failure
from polong.cli.flags import api_options, command, flag
from polong.cli.resources import Selection
from polong.cli.target import Target

Json = dict[str, Any]


def _options(function: Any) -> Any:  # noqa: ANN401 - a decorator of a click callback
    for option in (
        click.argument("args", nargs=-1, required=True, metavar="TYPE NAME... KEY=VALUE... KEY-..."),
        flag("--overwrite", help="Change what already has a value."),
        flag("--all", help="All objects of the type."),
        click.option("-l", "--selector", default="", metavar="LABELS", help="Objects that match a label selector."),
    ):
        function = option(function)
    return api_options(function)


@command("label", help="Set or remove labels.", examples="polong label pod nginx tier=web\npolong label pods --all tier-")
@_options
def label(target: Target, args: tuple[str, ...], overwrite: bool, all: bool, selector: str) -> None:  # noqa: A002 - kubectl's flag
    target.ask(lambda api: _change(api, "labels", args, (overwrite, all, selector)))


@command(
    "annotate", help="Set or remove annotations.", examples="polong annotate pod nginx note='seen by me'\npolong annotate pod nginx note-"
)
@_options
def annotate(target: Target, args: tuple[str, ...], overwrite: bool, all: bool, selector: str) -> None:  # noqa: A002
    target.ask(lambda api: _change(api, "annotations", args, (overwrite, all, selector)))


def split(args: tuple[str, ...]) -> tuple[list[str], dict[str, str | None]]:
    """Resource arguments and changes (None removes)."""
    changes: dict[str, str | None] = {}
    what: list[str] = []
    for arg in args:
        key, equals, value = arg.partition("=")
        if equals:
            changes[key] = value
        elif arg.endswith("-") and what:
            changes[arg[:-1]] = None
        else:
            what.append(arg)
    return what, changes


async def _change(api: Api, field: str, args: tuple[str, ...], flags: tuple[bool, bool, str]) -> None:
    overwrite, everything, selector = flags
    what, changes = split(args)
    if not changes:
        raise Failure(f"at least one {field[:-1]} update is required")
    for selection in await resources.select(api, what):
        for obj in await named(api, selection, everything, selector):
            await _one(api, (field, changes, overwrite), selection, obj)


async def named(api: Api, selection: Selection, everything: bool, selector: str) -> list[Json]:
    """The objects that names, --all or -l mean. Failure where nothing was said."""
    resource = selection.resource
    if selection.names:
        return [await api.get(resource.path(api.namespace, name)) for name in selection.names]
    if not everything and not selector:
        raise Failure("resource(s) were provided, but no name was specified")
    listing = await api.get(resource.path(api.namespace), [("labelSelector", selector)] if selector else [])
    return list(listing.get("items") or [])


async def _one(api: Api, change: tuple[str, dict[str, str | None], bool], selection: Selection, obj: Json) -> None:
    field, changes, overwrite = change
    current = obj["metadata"].get(field) or {}
    name = obj["metadata"]["name"]
    taken = [key for key, value in changes.items() if value is not None and key in current and current[key] != value]
    if taken and not overwrite:
        raise Failure(f"'{taken[0]}' already has a value ({current[taken[0]]}), and --overwrite is false")
    wanted = {key: value for key, value in changes.items() if current.get(key) != value}
    done = ("labeled" if field == "labels" else "annotated") if wanted else "not labeled" if field == "labels" else "not annotated"
    if wanted and all(value is None for value in wanted.values()) and field == "labels":
        done = "unlabeled"
    if wanted:
        manager = "kubectl-label" if field == "labels" else "kubectl-annotate"
        await api.patch(
            selection.resource.path(api.namespace, name), {"metadata": {field: wanted}}, [("fieldManager", manager)], kind=MERGE
        )
    click.echo(f"{resources.title(selection.resource)}/{name} {done}")
