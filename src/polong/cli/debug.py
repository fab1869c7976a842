"""`debug POD -c CONTAINER`: a container beside another one, in its process namespace, and the proof that it really sees it."""

from __future__ import annotations

import asyncio
import secrets
import sys
from typing import Any

import click

from polong.cli import attach, debug_session, debug_with, pods, processes
from polong.cli.api import Api
from polong.cli.debug_container import Wish
from polong.cli.debug_recipes import RECIPES
from polong.cli.durations import Duration
from polong.cli.errors import Failure
from polong.cli.escape import cell
from polong.cli.exec import Dashed
from polong.cli.flags import api_options, flag
from polong.cli.target import Target
from polong.client.transport import Call
from polong.kit.errors import NotFound
from polong.objects.gvk import PODS

Json = dict[str, Any]

_EXAMPLES = """
polong debug -it shop -c nginx
polong debug shop -c nginx --cap SYS_PTRACE --volumes -- ls -l /proc/1/root
polong debug shop -c app --with py-spy --seconds 10 -o profile.svg
polong debug shop --stop
"""
_HELP = "Run a container beside another one, in its process namespace, and check that it sees it."
_SHOWN = "\n".join(f"  {line}" for line in _EXAMPLES.strip().splitlines())
_TOOLS = "\n".join(f"  {name:<7} {recipe.does}" for name, recipe in RECIPES.items())
_LOOK = 0.1
_PREFIX = "debugger-"


@click.command(
    "debug",
    cls=Dashed,
    help=f"{_HELP}\n\n\b\nTools of --with:\n{_TOOLS}\n\n\b\nExamples:\n{_SHOWN}",
    short_help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("pod")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND [ARG...]]")
@click.option("-c", "--container", "goal", metavar="NAME", help="The container to debug (default: the first).")
@click.option("--image", metavar="NAME", help="Image of the debugger (default busybox:1.28; of a tool: made from this machine's).")
@click.option(
    "--cap", "caps", multiple=True, metavar="NAME", help="A capability, such as SYS_PTRACE; then as root, unless --user says else."
)
@click.option("--user", type=click.IntRange(0), metavar="UID", help="User of the debugger (default: the image's, or the Pod's).")
@flag("--volumes", help="With the volumes of the container, at the same paths.")
@flag("--env", help="With the environment of the container.")
@flag("-i", "--stdin", help="Pass standard input.")
@flag("-t", "--tty", help="Standard input is a terminal.")
@click.option("--with", "tool", type=click.Choice(list(RECIPES)), help="Run a tool and bring what it finds here, as a file.")
@click.option("-o", "--output", "file", default="", metavar="FILE", help="Of --with: where to (default: named after the container).")
@click.option("--pid", type=click.IntRange(1), metavar="N", help="Of --with: a process by its PID inside (default: the main process).")
@click.option("--seconds", type=click.IntRange(1, 3600), default=5, metavar="N", help="Of --with: how long to watch (default 5).")
@flag("--stop", help="End the debuggers that still run in the Pod.")
@click.option("--timeout", type=Duration(), default="60s", metavar="TIME", help="How long it may take to start.")
@api_options
def debug(target: Target, pod: str, words: tuple[str, ...], goal: str | None, stop: bool, timeout: float, **flags: Any) -> int:  # noqa: ANN401
    if words and not click.get_current_context().meta["polong.dashed"]:
        raise Failure("the command stands behind --: debug POD -- COMMAND")
    if stop:
        return target.run(lambda api: _stop(api, pod))
    if flags["tty"] and not flags["stdin"]:
        raise Failure("-t needs -i: a terminal without input is none")
    for name, given in (("--output", flags["file"]), ("--pid", flags["pid"])):
        if given and not flags["tool"]:
            raise Failure(f"{name} is for --with alone")
    if flags["tool"] and flags["stdin"]:
        raise Failure("a tool of --with takes no input: leave -i and -t out")
    wish = Wish(
        f"{_PREFIX}{secrets.token_hex(3)}",
        flags["image"] or ("" if flags["tool"] else "busybox:1.28"),
        words,
        tuple(flags["caps"]),
        flags["user"],
        flags["volumes"],
        flags["env"],
        (flags["stdin"], flags["tty"]),
        demanded=bool(flags["caps"]) or flags["user"] is not None,
    )
    if flags["tool"]:
        work = debug_with.Work(flags["tool"], flags["file"], flags["pid"], flags["seconds"], timeout)
        return target.run(lambda api: debug_with.run(api, (pod, goal), wish, work))
    return target.run(lambda api: _debug(api, pod, goal, wish, timeout))


async def _debug(api: Api, name: str, goal: str | None, wish: Wish, timeout: float) -> int:
    pod = await pods.find(api, name)
    name, goal = pod["metadata"]["name"], pods.choose(pod, goal, debuggers=False)
    phase = (pod.get("status") or {}).get("phase")
    if phase in {"Succeeded", "Failed"}:
        raise Failure(f"pod {cell(name)} is over ({phase}): there is no process to look at")
    await debug_session.begin(api, pod, goal, wish)
    path = PODS.path(api.namespace, name)
    try:
        async with asyncio.timeout(timeout):
            state = await debug_session.started(api, path, wish.name)
    except TimeoutError:
        raise Failure(f"{wish.name} has not started within {timeout:g} s: see polong describe pod {cell(name)}") from None
    if "running" in state:
        click.echo(await debug_session.sight(api, name, wish.name, goal), err=True)
    if wish.stdin[0] and "running" in state:
        which = (name, wish.name, True)
        await attach.session(api, which, wish.stdin)
    else:
        await _follow(api, path, wish.name)
    return await _ended(api, path, wish.name)


async def _follow(api: Api, path: str, name: str) -> None:
    query = [("container", name), ("follow", "true")]
    async for chunk in api.chunks(Call("GET", f"{path}/log", query, {"accept": "*/*"})):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


async def _ended(api: Api, path: str, name: str) -> int:
    """The exit code; 0 for one that runs on (somebody has detached)."""
    for _ in range(20):
        state = await debug_session.state(api, path, name)
        if "terminated" in state:
            return int(state["terminated"].get("exitCode", 0))
        await asyncio.sleep(_LOOK)
    click.echo(f"{name} runs on: polong attach -it POD -c {name}, or polong debug POD --stop", err=True)
    return 0


async def _stop(api: Api, name: str) -> int:
    """Kubernetes removes no ephemeral container from a Pod; what can be done is to end those that run."""
    pod = await pods.find(api, name)
    name = pod["metadata"]["name"]
    ended = 0
    for each in (pod.get("status") or {}).get("ephemeralContainerStatuses") or ():
        if "running" not in (each.get("state") or {}):
            continue
        body = {"kind": "Signal", "apiVersion": "polong.dev/v1alpha1", "signal": "KILL", "container": each["name"], "all": True}
        try:
            await api.post(processes.path_of(api.namespace, name, "signal"), body)
        except NotFound:
            continue
        click.echo(f"{cell(each['name'])} ended")
        ended += 1
    if not ended:
        click.echo(f"no debugger runs in pod {cell(name)}", err=True)
    return 0
