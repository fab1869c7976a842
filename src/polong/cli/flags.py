"""kubectl's flag grammar on top of click (`--wait=false`, a bare `--dry-run`, `-o=yaml`), and the flags that find the API."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Option(click.Option):
    """click's, whose help is one line: click would load the compiler's tools to dedent it."""

    def __init__(self, *args: Any, help: str | None = None, **kwargs: Any) -> None:  # noqa: A002, ANN401 - click's own
        super().__init__(*args, **kwargs)
        self.help = help


def option(*names: str, **settings: Any) -> Callable[[F], F]:  # noqa: ANN401
    """click.option for what every command has."""
    return click.option(*names, cls=Option, **settings)


class _Flag(Option):
    """A boolean whose help shows kubectl's form, not click's pair of names."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        return (record[0].split(" / ", maxsplit=1)[0] + ("=true" if self.default is True else ""), record[1]) if record else None


class _Optional(Option):
    """An option whose value may be left out (pflag's NoOptDefVal); then it is `bare`."""

    def __init__(self, *args: Any, bare: str, **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        self.bare = bare
        super().__init__(*args, **kwargs)


def flag(*names: str, default: bool = False, help: str) -> Callable[[F], F]:  # noqa: A002 - click's word
    """A boolean flag that also takes `=true` and `=false`."""
    long = next(name for name in names if name.startswith("--"))
    shorts = [name for name in names if not name.startswith("--")]
    return click.option(*shorts, f"{long}/--no-{long[2:]}", default=default, cls=_Flag, help=help)


def optional(name: str, *, bare: str, default: str, choices: Sequence[str], help: str) -> Callable[[F], F]:  # noqa: A002
    return click.option(name, cls=_Optional, bare=bare, default=default, type=click.Choice(list(choices)), help=help)


def _normalise(params: Sequence[click.Parameter], args: Sequence[str]) -> list[str]:
    """Rewrite kubectl's spellings to click's; everything after `--` stays."""
    options = {name: option for option in params if isinstance(option, click.Option) for name in (*option.opts, *option.secondary_opts)}
    out: list[str] = []
    for index, arg in enumerate(args):
        if arg == "--":
            return [*out, *args[index:]]
        name, equals, value = arg.partition("=")
        option = options.get(name)
        if option is None:
            out.append(arg)
        elif isinstance(option, _Optional) and not equals:
            out.append(f"{name}={option.bare}")
        elif option.is_flag and equals and option.secondary_opts:
            out.append(_flag_token(option, name, value))
        elif equals and not name.startswith("--") and not option.is_flag:
            out += [name, value]
        else:
            out.append(arg)
    return out


def _flag_token(option: click.Option, name: str, value: str) -> str:
    if value.lower() in {"true", "1", "t"}:
        return name
    if value.lower() in {"false", "0", "f"}:
        return option.secondary_opts[0]
    raise click.UsageError(f'invalid argument "{value}" for "{name}" flag: must be true or false')


COMPLETE = "_POLONG_COMPLETE"
"""The variable in which a shell that completes a command line says what it wants."""


class Helped(click.Command):
    """Its --help is an `Option` too."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        names = self.get_help_option_names(ctx)
        if self._help_option is None and names:
            click.help_option(*names, cls=Option)(self)
            self._help_option = self.params.pop()  # type: ignore[assignment]
        return super().get_help_option(ctx)


class Command(Helped):
    """A subcommand with kubectl's flag grammar."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _normalise(self.get_params(ctx), args))


class Group(Helped, click.Group):
    """Subcommands, with kubectl's flag grammar before them; `ns`, `cm` and other short names find them too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _normalise(self.get_params(ctx), args))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, _SHORT.get(cmd_name, cmd_name))


_SHORT = {"cm": "configmap", "ns": "namespace", "pc": "priorityclass", "resourcequota": "quota", "sa": "serviceaccount"}


def command(name: str, *, help: str, examples: str, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:  # noqa: A002, ANN401
    """Declare a subcommand: one sentence of help, and examples printed as they stand."""
    text = f"{help}\n\n\b\nExamples:\n" + "\n".join("  " + line for line in examples.strip("\n").splitlines())
    context = {"help_option_names": ["-h", "--help"], **settings.pop("context_settings", {})}
    return click.command(name, cls=Command, help=text, short_help=help, context_settings=context, **settings)


_ROOT = option("--root", envvar="POLONG_ROOT", metavar="DIR", help="State directory of the node (default /var/lib/polong or $POLONG_ROOT).")
_API = (
    option("--kubeconfig", metavar="FILE", help="Kubeconfig to use instead of $KUBECONFIG or the node's own."),
    option("--context", metavar="NAME", help="Context of the kubeconfig."),
    option("-n", "--namespace", metavar="NAME", help="Namespace (default: that of the context, else default)."),
    option("-s", "--server", metavar="URL", help="Address of the API server, instead of the context's."),
    option("--request-timeout", default="0", metavar="TIME", help="Give up a single request after this time, such as 5s (0: never)."),
)
API_NAMES = ("kubeconfig", "context", "namespace", "server", "request_timeout", "root")


def root_option(function: F) -> F:
    return _ROOT(function)


def api_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags that find the API; the function gets them as one `Target` in its first argument."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the command takes
        from polong.cli.target import Target

        found = {name: kwargs.pop(name) for name in API_NAMES}
        merged: dict[str, Any] = dict(found)
        above = click.get_current_context().parent
        while above is not None:
            merged = {
                name: above.params.get(name) if value in (None, "0") and above.params.get(name) else value for name, value in merged.items()
            }
            above = above.parent
        return function(Target(**merged), *args, **kwargs)

    decorated = wrapper
    for each in (*reversed(_API), _ROOT):
        decorated = each(decorated)
    return decorated


def group_options(function: F) -> F:
    """The same flags on `polong` itself, so that `polong -n x get pods` works."""
    for each in (*reversed(_API), _ROOT):
        function = each(function)
    return function
