"""Which server a command talks to, found as kubectl finds it: --kubeconfig, --root, $KUBECONFIG, --context, else the node of the root."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
from click.core import ParameterSource

from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.escape import cell
from polong.kit import errors

T = TypeVar("T")

_REQUEST = 60.0


class Target(NamedTuple):
    """The flags that find the API, as they stand on the command line."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    server: str | None = None
    request_timeout: str = "0"
    root: str | None = None

    def run(self, work: Callable[[Api], Coroutine[Any, Any, T]]) -> T:
        """Connect, do the work, close; the one event loop of a command."""
        import asyncio

        return asyncio.run(self._run(work, direct=False))

    def ask(self, work: Callable[[Api], Coroutine[Any, Any, T]]) -> T:
        """As `run` for work that awaits nothing but answers, one after the other: no event loop, and half of the start time."""
        from polong.client.direct import drive

        return drive(self._run(work, direct=True))

    async def _run(self, work: Callable[[Api], Coroutine[Any, Any, T]], *, direct: bool) -> T:
        api = self.open(direct=direct)
        try:
            return await work(api)
        except errors.Unavailable as error:
            raise self._explained(error) from error
        finally:
            await api.client.aclose()

    def open(self, *, direct: bool = False) -> Api:
        from polong.client import kubeconfig
        from polong.client.rest import Client

        files = self.files()
        seconds = _seconds(self.request_timeout) or _REQUEST
        try:
            found = kubeconfig.load(files, context=self.context or "", must_exist=bool(self.kubeconfig))
            if found is None:
                raise Failure(f"{', '.join(map(str, files))} names no server")
            if self.server:
                found = found._replace(server=self.server)
            transport = found.direct(timeout=seconds) if direct else found.transport(timeout=seconds)
        except (errors.BadRequest, errors.Unsupported) as error:
            # No server was asked yet.
            raise Failure(error.message) from error
        client = Client(
            transport,
            warn=lambda text: click.echo(f"Warning: {cell(text)}", err=True),
            headers={"user-agent": "polong", "kubectl-command": f"polong {_command()}"},
        )
        return Api(client, self.namespace or found.namespace or "default")

    def files(self) -> list[Path]:
        """Kubeconfig files, first found first used. Failure where there is none."""
        from polong.cli.node import NodeDir

        if self.kubeconfig:
            return [Path(self.kubeconfig)]
        node = NodeDir(self.root)
        if not _explicit_root() and (listed := os.environ.get("KUBECONFIG")):
            return [Path(name) for name in listed.split(os.pathsep) if name]
        home = Path("~/.kube/config").expanduser()
        if self.context and home.exists() and not _explicit_root():
            return [home]
        if _readable(node.kubeconfig):
            return [node.kubeconfig]
        if home.exists() and not _explicit_root():
            return [home]
        raise Failure(f"there is no node at {node.root}: start one with `polong up{node.describe()}`, or give --kubeconfig")

    def _explained(self, error: errors.Unavailable) -> Exception:
        """A refused connection to our own node has a simpler reason."""
        from polong.cli.node import NodeDir

        if self.kubeconfig or self.server or error.reason:
            return error
        node = NodeDir(self.root)
        if self.files() == [node.kubeconfig] and node.pid() is None:
            return Failure(f"the node of {node.root} does not run: start it with `polong up{node.describe()}`")
        return error


def _seconds(text: str) -> float:
    if text == "0":
        return 0.0
    from polong.cli.durations import parse

    try:
        return parse(text)
    except ValueError as error:
        raise Failure(f"--request-timeout: {error}") from None


def _explicit_root() -> bool:
    """--root on the command line itself, which says more than the environment."""
    context = click.get_current_context(silent=True)
    while context is not None:
        if context.get_parameter_source("root") is ParameterSource.COMMANDLINE:
            return True
        context = context.parent
    return False


def _command() -> str:
    context = click.get_current_context(silent=True)
    return context.info_name or "" if context else ""


def _readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except PermissionError:
        raise Failure(f"cannot read {path}: it belongs to root; run this as root, or give --kubeconfig") from None
    except OSError:
        return False
