"""`version`: of this command and of the server."""

from __future__ import annotations

import json

import click

import polong
from polong.cli import output
from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.flags import api_options, command, flag
from polong.cli.target import Target

_EXAMPLES = """
polong version
polong version --client -o json
"""


@command("version", help="Print the versions of polong and of the server.", examples=_EXAMPLES)
@flag("--client", help="Only that of this command.")
@click.option("-o", "--output", "form", type=click.Choice(["json", "yaml"]), help="One of json|yaml.")
@api_options
def version(target: Target, client: bool, form: str | None) -> None:
    mine = {"gitVersion": f"v{polong.__version__}"}
    theirs = None
    problem: Exception | None = None
    if not client:
        try:
            theirs = target.ask(_server)
        except (Failure, Exception) as error:
            problem = error
    if form:
        found = {"clientVersion": mine, **({"serverVersion": theirs} if theirs else {})}
        output.emit(json.dumps(found, indent=2) + "\n" if form == "json" else output.document(found, output.Format("yaml")))
    else:
        click.echo(f"Client Version: {mine['gitVersion']}")
        if theirs:
            click.echo(f"Server Version: {theirs.get('gitVersion', 'unknown')}")
    if problem is not None:
        raise problem


async def _server(api: Api) -> dict[str, str]:
    return await api.get("/version")
