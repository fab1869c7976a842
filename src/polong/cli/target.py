"""Which server a command talks to, found as kubectl finds it: --kubeconfig, --root, $KUBECONFIG, --context, else the node of the root."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.escape import cell
from polong.kit import errors

T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """The flags that find the API, as they stand on the command line."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    server: str | None = None
    request_timeout: str = "0"
    root: str | None = None

    def run(self, work: Callable[[Api], Awaitable[T]]) -> T:
        """Connect, do the work, close; the one event loop of a command."""
        return asyncio.run(self._run(work))

    async def _run(self, work: Callable[[Api], Awaitable[T]]) -> T:
        api = self.open()
        try:
            return await work(api)
        except errors.Unavailable as error:
            raise self._explained(error) from error
        finally:
            await api.client.aclose()

    def open(self) -> Api:
        from polong.cli.durations import parse
        from polong.client import kubeconfig
        from polong.client.rest import Client

        found = kubeconfig.load(self.files(), context=self.context or "", server=self.server or "")
        client = Client(
            found.transport(timeout=parse(self.request_timeout) or None),
            warn=lambda text: click.echo(f"Warning: {cell(text)}", err=True),
            headers={"user-agent": "polong", "kubectl-command": f"polong {click.get_current_context().info_name}"},
        )
        return Api(client, self.namespace or found.namespace or "default")

    def files(self) -> list[Path]:
        """Kubeconfig files, first found first used. Failure where there is none."""
        from polong.cli.node import NodeDir

        if self.kubeconfig:
            return [Path(self.kubeconfig)]
        given = click.get_current_context().find_root()
        node = NodeDir(self.root)
        if not _explicit_root(given) and (listed := os.environ.get("KUBECONFIG")):
            return [Path(name) for name in listed.split(os.pathsep) if name]
        home = Path("~/.kube/config").expanduser()
        if self.context and home.exists() and not _explicit_root(given):
            return [home]
        if _readable(node.kubeconfig):
            return [node.kubeconfig]
        if home.exists() and not _explicit_root(given):
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


def _explicit_root(context: click.Context) -> bool:
    """--root on the command line itself, which says more than the environment."""
    return "--root" in " ".join(sys.argv[1:]).split("--", 1)[0] or any(arg == "--root" or arg.startswith("--root=") for arg in sys.argv[1:])


def _readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except PermissionError:
        raise Failure(f"cannot read {path}: it belongs to root; run this as root, or give --kubeconfig") from None
    except OSError:
        return False
