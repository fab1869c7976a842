"""`debug --with`: a tool beside the target, which ends in a file here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from polong.cli import debug_session, files_copy, pods, processes
from polong.cli.api import Api
from polong.cli.debug_container import Wish
from polong.cli.debug_recipes import RECIPES, RESULT, Recipe, Run
from polong.cli.debug_tools import IDLE, ToolImage
from polong.cli.errors import Failure
from polong.cli.escape import cell
from polong.cli.files import Files
from polong.cli.images import import_archive
from polong.client import exec as remote
from polong.kit.stdio import Stdio
from polong.objects.gvk import PODS

Json = dict[str, Any]

_MOST = 256 << 20


@dataclass(frozen=True)
class Work:
    """`file` empty: named after the container; `pid` None: the main process; `seconds` to watch, `timeout` for the start."""

    tool: str
    file: str
    pid: int | None
    seconds: int
    timeout: float


class Heap:
    """A Writer that keeps what comes, up to a bound."""

    def __init__(self) -> None:
        self.data = bytearray()

    async def write(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > _MOST:
            raise Failure(f"the tool printed more than {_MOST >> 20} MiB")

    async def close(self) -> None:
        """Nothing is held but memory."""


async def run(api: Api, which: tuple[str, str | None], wish: Wish, work: Work) -> int:
    """The debugger with the tool, from its image to the file; nothing of it runs on."""
    recipe = RECIPES[work.tool]
    found = await pods.find(api, which[0])
    name, aim = found["metadata"]["name"], pods.choose(found, which[1], debuggers=False)
    goal = Path(work.file or recipe.file.format(container=aim))
    if not goal.parent.is_dir():
        raise Failure(f"cannot write {goal}: there is no directory {goal.parent}")
    image = wish.image or await _tool_image(api, recipe)
    caps = ("SYS_PTRACE", *wish.capabilities)
    await debug_session.begin(api, found, aim, replace(wish, image=image, command=IDLE, capabilities=caps))
    path = PODS.path(api.namespace, name)
    try:
        async with asyncio.timeout(work.timeout):
            await debug_session.started(api, path, wish.name)
    except TimeoutError:
        raise Failure(f"{wish.name} has not started within {work.timeout:g} s: see polong describe pod {cell(name)}") from None
    try:
        main = await _target(api, name, wish.name, aim)
        task = Run(work.pid or main, work.seconds, wish.command)
        try:
            await _result(api, (name, wish.name), recipe, task, goal)
        except Failure as error:
            reason = await debug_session.why_not(api, name, wish.name, (aim, task.pid))
            raise Failure(f"{error.message}; the kernel does not let it: {reason}" if reason else error.message) from None
    finally:
        await _stop(api, name, wish.name)
    click.echo(str(goal))
    return 0


async def _target(api: Api, pod: str, name: str, aim: str) -> int:
    """The PID of the target's main process, as the debugger counts. Failure where it does not see it."""
    click.echo(await debug_session.sight(api, pod, name, aim), err=True)
    listing = await api.get(processes.path_of(api.namespace, pod, "processes"))
    mains = {each["container"]: each for each in listing["items"] if each["role"] == "main"}
    if aim not in mains or name not in mains or mains[aim]["pidNamespace"] != mains[name]["pidNamespace"]:
        raise Failure(f"the debugger does not see container {aim}: there is nothing that a tool could look at")
    return int(mains[aim]["pid"])


async def _tool_image(api: Api, recipe: Recipe) -> str:
    image = await asyncio.to_thread(ToolImage, recipe)
    listing = await api.get(f"{processes.GROUP}/images")
    if not any(image.name in (each.get("repoTags") or ()) for each in listing.get("items") or ()):
        click.echo(f"Making an image of this machine's {recipe.programs[0]}", err=True)
        archive = await asyncio.to_thread(image.archive)
        try:
            await import_archive(api, archive)
        finally:
            archive.unlink()
    return image.name


async def _result(api: Api, where: tuple[str, str], recipe: Recipe, run: Run, goal: Path) -> None:
    """Run the tool to its end and bring what it made to `goal`, whole or not at all."""
    pod, name = where
    printed, said = Heap(), Heap()
    stdio = Stdio(stdout=printed, stderr=said)
    code = await remote.execute(api.client, pod, api.namespace, recipe.command(run), stdio, container=name)
    words = (said.data or printed.data).decode(errors="replace").strip().splitlines()
    if code not in recipe.accepts:
        raise Failure(f"the tool failed with exit code {code}: {cell(words[-1]) if words else 'it said nothing'}")
    if recipe.printed:
        part = goal.with_name(f".{goal.name}.part")
        part.write_bytes(printed.data)
        part.rename(goal)
        return
    files = Files(api)
    await files.choose(pod, name)
    try:
        await files_copy.out(files, RESULT, goal)
    except files_copy.Missing:
        raise Failure(f"the tool left no result: {cell(words[-1]) if words else 'it said nothing'}") from None
    goal.chmod(0o600)


async def _stop(api: Api, pod: str, name: str) -> None:
    """Its idle main process; what it was is told by the Pod for as long as the Pod is."""
    body = {"kind": "Signal", "apiVersion": "polong.dev/v1alpha1", "signal": "KILL", "container": name}
    await api.post(processes.path_of(api.namespace, pod, "signal"), body)
