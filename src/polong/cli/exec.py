"""`exec`: a command in a container; its exit code becomes ours."""

from __future__ import annotations

import click

from polong.cli import pods, sessions, terminal
from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.flags import Command, api_options, flag
from polong.cli.target import Target
from polong.client import exec as remote

_EXAMPLES = """
polong exec nginx -- ls -l /etc/nginx
polong exec -it nginx -c shell -- sh
"""


class Dashed(Command):
    """Keeps apart what stands before and after `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["polong.dashed"] = "--" in args
        return super().parse_args(ctx, args)


@click.command(
    "exec",
    cls=Dashed,
    help="Run a command in a container.\n\n\b\nExamples:\n" + "\n".join("  " + line for line in _EXAMPLES.strip().splitlines()),
    short_help="Run a command in a container.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("pod")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND [ARG...]")
@click.option("-c", "--container", metavar="NAME", help="Container (default: the first).")
@flag("-i", "--stdin", help="Pass standard input.")
@flag("-t", "--tty", help="Standard input is a terminal.")
@flag("-q", "--quiet", help="Only the command's own output.")
@api_options
def exec_(target: Target, pod: str, words: tuple[str, ...], container: str | None, stdin: bool, tty: bool, quiet: bool) -> int:
    if words and not click.get_current_context().meta["polong.dashed"]:
        raise Failure("exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead")
    if not words:
        raise Failure("you must specify at least one command for the container: exec POD -- COMMAND")
    return target.run(lambda api: _exec(api, (pod, container, quiet), words, (stdin, tty)))


async def _exec(api: Api, which: tuple[str, str | None, bool], words: tuple[str, ...], modes: tuple[bool, bool]) -> int:
    name, wanted, quiet = which
    found = await pods.find(api, name)
    phase = (found.get("status") or {}).get("phase")
    if phase in {"Succeeded", "Failed"}:
        raise Failure(f"cannot exec into a container in a completed pod; current phase is {phase}")
    container = pods.choose(found, wanted, quiet=quiet)
    tty = terminal.wants_terminal(*modes)
    stdio = terminal.streams(stdin=modes[0], terminal=tty)
    session = remote.execute(api.client, found["metadata"]["name"], api.namespace, words, stdio, container=container)
    code = await sessions.run(session, stdio)
    if code and not quiet:
        click.echo(f"command terminated with exit code {code}", err=True)
    return code
