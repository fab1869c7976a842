"""`python -m tools.reference` writes docs/cli.md: every subcommand's `--help`, so that the page cannot differ from the program."""

from __future__ import annotations

from pathlib import Path

import click

from polong.cli import registry
from polong.cli.app import cli

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"

_HEAD = """# The command line

This page is made by `make reference` from the commands' own `--help`. Subcommands with kubectl's names take kubectl's flags.
"""

_WIDTH = 120


def render() -> str:
    parts = [_HEAD, _block(_help(cli, "polong"))]
    for section, commands in registry.SECTIONS.items():
        parts.append(f"## {section}\n")
        for name in commands:
            parts.extend(_command(registry.load(name), f"polong {name}", 3))
    return "\n".join(parts)


def _command(command: click.Command | None, path: str, level: int) -> list[str]:
    if command is None:
        raise LookupError(f"{path} is listed but cannot be loaded")
    parts = [f"{'#' * level} {path}\n", _block(_help(command, path))]
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            parts.extend(_command(child, f"{path} {name}", level + 1))
    return parts


def _help(command: click.Command, path: str) -> str:
    with click.Context(
        command, info_name=path, max_content_width=_WIDTH, terminal_width=_WIDTH, help_option_names=["-h", "--help"]
    ) as context:
        return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def _block(text: str) -> str:
    return f"```text\n{text}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(render())
    print(f"wrote {PAGE}")
