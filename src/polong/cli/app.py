"""`polong`: the group of subcommands, and the one place where errors become lines and exit codes. Must not import the server packages.

Exit codes: 0, 1 for what the command could not do, 2 for wrong use, 130 after Ctrl-C, 141 where the reader of a pipe left; `exec` and
`attach` pass the container's through.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from polong.cli import registry
from polong.cli.flags import COMPLETE, Helped, group_options

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class _ReaderLeft(Exception):  # noqa: N818 - nothing is wrong
    """A BrokenPipeError, out of the sight of click, which makes exit code 1 of it."""


class _Group(Helped, click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _ReaderLeft from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return registry.names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return registry.load(cmd_name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in registry.names():
            from polong.cli import unknown

            raise click.UsageError(unknown.words(args[0]))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """As click's, without importing every command for its line of help."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        from click.shell_completion import CompletionItem

        lines = {name: text for section in registry.SECTIONS.values() for name, text in section.items()}
        return [CompletionItem(name, help=text) for name, text in lines.items() if name.startswith(incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, registry.names()))
        for title, commands in registry.SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), text) for name, text in commands.items()])


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    help="Kubernetes Pods on one Linux machine. `polong up`, then use kubectl, or the same words here: `alias kubectl=polong`.",
)
@group_options
def cli(**_flags: object) -> None:
    pass


if COMPLETE in os.environ:
    from polong.cli import complete

    complete.attach(cli)


def main() -> NoReturn:
    """The console script. Ends at once: taking an interpreter apart costs a short command a tenth of its time."""
    code = run(sys.argv[1:])
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def run(args: list[str]) -> int:
    """Run one command line; the exit code. Whatever fails gives one line on standard error, never a trace (POLONG_DEBUG=1 shows it)."""
    try:
        result = cli.main(args=args, prog_name="polong", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 0 if not args else 2
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "polong"
        _complain(f"error: {error.format_message()}\nSee '{where} --help' for usage.")
        return 2
    except click.ClickException as error:
        _complain(f"error: {error.format_message()}")
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 130
    except (BrokenPipeError, _ReaderLeft):
        return _reader_left()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except Exception as error:
        if os.environ.get("POLONG_DEBUG"):
            raise
        from polong.cli.errors import explain

        _complain(explain(error))
        return 1


def _reader_left() -> int:
    """`polong get pods | head -1`: what is still buffered must not raise again at exit. 128 + SIGPIPE, as of any other program."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 141


def _complain(text: str) -> None:
    from polong.cli.escape import block

    try:
        sys.stdout.flush()
    except OSError:
        # Whoever reads it is gone, or its disk is full: what is still buffered must not raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with contextlib.suppress(OSError):
        print(block(text), file=sys.stderr)
