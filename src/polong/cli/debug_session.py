"""A debugger's way from the request to the proof that it sees its target."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

import click

from polong.cli import processes
from polong.cli.api import Api
from polong.cli.debug_container import Wish, container
from polong.cli.errors import Failure
from polong.cli.escape import cell
from polong.kit.errors import Forbidden, PolongError
from polong.objects.gvk import PODS

Json = dict[str, Any]

_LOOK = 0.1
_STANDARD = re.compile(r'violates PodSecurity "(baseline|restricted)')
_HOPELESS = frozenset({"ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"})


async def begin(api: Api, pod: Json, goal: str, wish: Wish) -> None:
    """Ask for the debugger. Where the namespace's Pod Security standard refuses it, ask once more for what the standard lets through:
    the target's own user, who may look at what is its own."""
    path = f"{PODS.path(api.namespace, pod['metadata']['name'])}/ephemeralcontainers"
    made, warnings = container(pod, goal, wish)
    try:
        await api.patch(path, {"spec": {"ephemeralContainers": [made]}})
    except Forbidden as error:
        found = _STANDARD.search(error.message)
        if found is None:
            raise
        if wish.demanded:
            advice = "without --cap and --user the debugger runs as the target's own user"
            raise Forbidden(f"{error.message}; {advice}", reason=error.reason) from None
        uid, gid = await _owner(api, pod["metadata"]["name"], goal)
        kept = replace(wish, capabilities=(), user=uid, group=gid, standard=found[1])
        made, warnings = container(pod, goal, kept)
        try:
            await api.patch(path, {"spec": {"ephemeralContainers": [made]}})
        except Forbidden as again:
            raise Forbidden(f"{again.message} (tried as user {uid}, as container {goal} is)", reason=again.reason) from None
        warnings = [
            f"the namespace lets no more through than Pod Security's {found[1]}: {wish.name} runs as user {uid}, as container {goal} does,"
            " and can look at what is that user's",
            *warnings,
        ]
    for text in warnings:
        click.echo(f"Warning: {cell(text)}", err=True)


async def _owner(api: Api, pod: str, goal: str) -> tuple[int, int]:
    """User and group of the target's main process, as the container counts them. Failure where it does not run."""
    found = await api.get(processes.path_of(api.namespace, pod, "access"), [("from", goal), ("to", goal)])
    items = found.get("items") or []
    if not items:
        raise Failure(f"container {goal} does not run: there is no user to look at it as")
    return int(items[0]["process"]["uid"]), int(items[0]["process"]["gid"])


async def why_not(api: Api, pod: str, name: str, which: tuple[str, int]) -> str:
    """What the kernel has against the debugger's tracing process `which` (its container, its PID); "" where it has nothing, or
    where that cannot be told."""
    try:
        found = await api.get(processes.path_of(api.namespace, pod, "access"), [("from", name), ("to", which[0])])
    except PolongError:
        return ""
    verdicts = [each["verdicts"]["ptrace"] for each in found.get("items") or () if each["process"]["pid"] == which[1]]
    return str(verdicts[0]["reason"]) if verdicts and not verdicts[0]["allowed"] else ""


async def state(api: Api, path: str, name: str) -> Json:
    """Of the ephemeral container, as its status tells; empty where there is none yet."""
    for each in ((await api.get(path)).get("status") or {}).get("ephemeralContainerStatuses") or ():
        if each["name"] == name:
            return dict(each.get("state") or {})
    return {}


async def started(api: Api, path: str, name: str) -> Json:
    """Its state once it runs or has run. Failure where it never will."""
    while True:
        found = await state(api, path, name)
        waiting = found.get("waiting") or {}
        if waiting.get("reason") in _HOPELESS:
            raise Failure(f"{name} cannot start: {waiting['reason']}: {waiting.get('message', '')}")
        if "terminated" in found and found["terminated"].get("reason") in ("StartError", "ContainerCannotRun"):
            raise Failure(f"{name} cannot start: {found['terminated'].get('message', '')}")
        if "running" in found or "terminated" in found:
            return found
        await asyncio.sleep(_LOOK)


async def sight(api: Api, pod: str, name: str, goal: str) -> str:
    """Whether the debugger is in the PID namespace of its target, by what the kernel says of both."""
    listing = await api.get(processes.path_of(api.namespace, pod, "processes"))
    mains = {item["container"]: item for item in listing.get("items") or () if item["role"] == "main"}
    own, other = mains.get(name), mains.get(goal)
    if own is None:
        return f"{name} has ended already: whether it saw container {goal} cannot be told"
    if other is None:
        return f"Warning: container {goal} does not run: {name} has nothing to see"
    if own["pidNamespace"] != other["pidNamespace"]:
        return f"Warning: {name} does NOT see the processes of container {goal}: it is in another PID namespace"
    words = cell(" ".join(other["command"])[:60] or other["name"])
    number = other["pids"][-1] if other.get("pids") else other["pid"]
    return f"{name} sees container {goal}: its main process is PID {number} ({words}), its files are in /proc/{number}/root"
