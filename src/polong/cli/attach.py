"""`attach`: to the main process of a container."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import click

from polong.cli import pods, sessions, terminal
from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.escape import cell
from polong.cli.flags import api_options, command, flag
from polong.cli.target import Target
from polong.client import exec as remote

_EXAMPLES = """
polong attach -it nginx -c shell
polong attach nginx
"""


@command("attach", help="Attach to the main process of a container. On a terminal, ctrl-p ctrl-q leaves it running.", examples=_EXAMPLES)
@click.argument("pod")
@click.option("-c", "--container", metavar="NAME", help="Container (default: the first).")
@flag("-i", "--stdin", help="Pass standard input.")
@flag("-t", "--tty", help="Standard input is a terminal.")
@flag("-q", "--quiet", help="Only the container's own output.")
@api_options
def attach(target: Target, pod: str, container: str | None, stdin: bool, tty: bool, quiet: bool) -> int:
    return target.run(lambda api: session(api, (pod, container, quiet), (stdin, tty)))


async def session(api: Api, which: tuple[str, str | None, bool], modes: tuple[bool, bool]) -> int:
    """`which`: Pod, container, whether to be quiet; `modes`: pass input, on a terminal."""
    name, wanted, quiet = which
    found = await pods.find(api, name)
    phase = (found.get("status") or {}).get("phase")
    if phase in {"Succeeded", "Failed"}:
        raise Failure(f"cannot attach a container in a completed pod; current phase is {phase}")
    container = pods.choose(found, wanted, quiet=quiet)
    stdin, tty = modes
    spec = pods.spec_of(found, container)
    if stdin and not spec.get("stdin"):
        if not quiet:
            click.echo(f"Container {cell(container)} takes no input: its spec has no `stdin: true`", err=True)
        stdin = False
    if tty and not spec.get("tty"):
        if not quiet:
            click.echo(f"Unable to use a TTY - container {cell(container)} did not allocate one", err=True)
        tty = False
    tty = terminal.wants_terminal(stdin, tty) if tty else bool(spec.get("tty")) and stdin and terminal.both_terminals()
    if tty and not quiet:
        click.echo("If you don't see a command prompt, try pressing enter.", err=True)
    return await _session(api, found["metadata"]["name"], container, stdin, (tty, bool(spec.get("tty"))))


async def _session(api: Api, pod: str, container: str, stdin: bool, tty: tuple[bool, bool]) -> int:
    task = asyncio.current_task()
    left = asyncio.Event()

    def leave() -> None:
        left.set()
        if task is not None:
            task.cancel()

    stdio = terminal.streams(stdin=stdin, terminal=tty[0], nudge=True, detach=leave)
    if tty[1]:
        # The errors of a container with a terminal come with its output, whether we have a terminal or not.
        stdio = replace(stdio, stderr=None)
    try:
        return await sessions.run(remote.attach(api.client, pod, api.namespace, stdio, container=container), stdio)
    except asyncio.CancelledError:
        if not left.is_set() or task is None:
            raise
        task.uncancel()
        click.echo("\r\ndetached; the container keeps running", err=True)
        return 0
