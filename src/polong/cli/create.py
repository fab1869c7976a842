"""`create`: objects that must not exist yet, from files or from words (`create configmap c --from-literal=k=v`)."""

from __future__ import annotations

from typing import Any

import click

from polong.cli import create_access, create_config, create_limits, manifests, output
from polong.cli.api import Api
from polong.cli.apply import Writing, annotated, each, place, writing_options
from polong.cli.errors import Failure, FromServer
from polong.cli.flags import Group, api_options, flag
from polong.cli.manifests import Manifest, filename_options
from polong.cli.target import Target
from polong.kit.errors import PolongError

_HELP = """Create objects from files, directories, URLs, standard input, or words.

\b
Examples:
  polong create -f pod.yaml
  polong create -f pod.yaml --dry-run=server -o yaml
  polong create namespace test
  polong create configmap settings --from-literal=level=debug --from-file=nginx.conf
"""


@click.group(
    "create",
    cls=Group,
    invoke_without_command=True,
    help=_HELP,
    short_help="Create objects from files, directories, URLs, standard input, or words.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@filename_options
@writing_options
@flag("--save-config", help="Note what was created, as apply does.")
@click.option("--field-manager", default="kubectl-create", metavar="NAME", help="Name under which fields are owned.")
@api_options
def create(target: Target, filenames: tuple[str, ...], recursive: bool, **flags: Any) -> None:  # noqa: ANN401
    if click.get_current_context().invoked_subcommand:
        if filenames:
            raise Failure("create takes either -f, or a kind and a name")
        return
    if not filenames:
        raise Failure("must specify -f: a file, a directory, a URL or -")
    writing = Writing(flags["field_manager"], flags["dry_run"], flags["validate"], output.parse(flags["form"]))
    found = manifests.read(filenames, recursive=recursive)
    save = flags["save_config"]
    target.ask(lambda api: each(api, found, lambda item: _create(api, item, writing, save)))


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


for _each in (*create_access.COMMANDS, *create_config.COMMANDS, *create_limits.COMMANDS):
    create.add_command(_each)
