"""`create -f`: objects that must not exist yet."""

from __future__ import annotations

from typing import Any

import click

from polong.cli import manifests, output
from polong.cli.api import Api
from polong.cli.apply import Writing, annotated, each, place, writing_options
from polong.cli.errors import Failure, FromServer
from polong.cli.flags import api_options, command, flag
from polong.cli.manifests import Manifest, filename_options
from polong.cli.target import Target
from polong.kit.errors import PolongError

_EXAMPLES = """
polong create -f pod.yaml
polong create -f pod.yaml --dry-run=server -o yaml
polong create namespace test
"""


@command("create", help="Create objects from files, directories, URLs or standard input.", examples=_EXAMPLES)
@click.argument("what", nargs=-1, metavar="[namespace NAME]")
@filename_options
@writing_options
@flag("--save-config", help="Note what was created, as apply does.")
@click.option("--field-manager", default="kubectl-create", metavar="NAME", help="Name under which fields are owned.")
@api_options
def create(target: Target, what: tuple[str, ...], filenames: tuple[str, ...], recursive: bool, **flags: Any) -> None:  # noqa: ANN401
    writing = Writing(flags["field_manager"], flags["dry_run"], flags["validate"], output.parse(flags["form"]))
    if what:
        if len(what) != 2 or what[0] not in {"namespace", "ns"} or filenames:
            raise Failure("create takes -f FILE, or: create namespace NAME")
        found = [Manifest("command line", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": what[1]}})]
    elif filenames:
        found = manifests.read(filenames, recursive=recursive)
    else:
        raise Failure("must specify -f: a file, a directory, a URL or -")
    save = flags["save_config"]
    target.run(lambda api: each(api, found, lambda item: _create(api, item, writing, save)))


async def _create(api: Api, item: Manifest, writing: Writing, save: bool) -> None:
    resource, obj, namespace = await place(api, item)
    if save:
        obj = annotated(obj)
    if writing.dry_run != "client":
        try:
            obj = await api.post(resource.path(namespace), obj, writing.query())
        except PolongError as error:
            raise FromServer(error, f'error when creating "{item.source}"') from error
    writing.say(resource, obj, "created")
