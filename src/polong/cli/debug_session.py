"""A debugger's way from the request to the proof that it sees its target."""

from __future__ import annotations

import asyncio
from typing import Any

from polong.cli import processes
from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.escape import cell

Json = dict[str, Any]

_LOOK = 0.1
_HOPELESS = frozenset({"ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"})


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
