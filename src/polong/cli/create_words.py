"""What the generators of `create` have in common: one object from words, sent or shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from polong.cli import output
from polong.cli.api import Api
from polong.cli.apply import Writing, annotated, place, writing_options
from polong.cli.errors import Failure
from polong.cli.flags import api_options, command, flag
from polong.cli.manifests import Manifest
from polong.cli.target import Target
from polong.kit.errors import PolongError

Json = dict[str, Any]


def generator(
    name: str,
    help: str,  # noqa: A002 - click's word
    examples: str,
    *options: Callable[[Any], Any],
    argument: str = "NAME",
) -> Callable[[Callable[..., Json]], click.Command]:
    """A subcommand from a function that makes the object from its name and options. Failure says what is wrong with them."""

    def decorate(make: Callable[..., Json]) -> click.Command:
        def run(target: Target, name: str, **flags: Any) -> None:  # noqa: ANN401 - the function's own options
            writing = Writing(flags.pop("field_manager"), flags.pop("dry_run"), flags.pop("validate"), output.parse(flags.pop("form")))
            save = flags.pop("save_config")
            made = make(name, **flags)
            target.ask(lambda api: _send(api, made, writing, save))

        decorated: Any = api_options(run)
        shared = (
            writing_options,
            flag("--save-config", help="Note what was created, as apply does."),
            click.option("--field-manager", default="kubectl-create", metavar="NAME", help="Name under which fields are owned."),
        )
        for option in (*shared, *reversed(options), click.argument("name", metavar=argument)):
            decorated = option(decorated)
        return command(name, help=help, examples=examples)(decorated)

    return decorate


async def _send(api: Api, made: Json, writing: Writing, save: bool) -> None:
    resource, obj, namespace = await place(api, Manifest("command line", made))
    if save:
        obj = annotated(obj)
    if writing.dry_run != "client":
        try:
            obj = await api.post(resource.path(namespace), obj, writing.query())
        except PolongError as error:
            if not resource.namespaced:
                raise
            raise Failure(f"failed to create {resource.kind.lower()}: {error.message}") from error
    writing.say(resource, obj, "created")


def pairs(words: str, what: str) -> dict[str, str]:
    """`a=1,b=2`. Failure where a part is no pair."""
    found = {}
    for part in filter(None, words.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise Failure(f"Invalid argument syntax {part}, expected <resource>=<value>: {what}")
        found[key.strip()] = value.strip()
    return found
