"""`completion SHELL`: click's own scripts."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from polong.cli.flags import COMPLETE, command

_EXAMPLES = """
source <(polong completion bash)
polong completion fish > ~/.config/fish/completions/polong.fish
"""


@command("completion", help="Print the completion script of a shell.", examples=_EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(kind(click.get_current_context().find_root().command, {}, "polong", COMPLETE).source())
