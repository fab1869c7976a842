"""`restart POD -c CONTAINER`: that container alone, in place; the others do not notice."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from polong.cli import pods, processes
from polong.cli.api import Api
from polong.cli.durations import Duration
from polong.cli.errors import Failure
from polong.cli.escape import cell
from polong.cli.flags import api_options, command, flag, option
from polong.cli.target import Target
from polong.objects.gvk import PODS

Json = dict[str, Any]

_EXAMPLES = """
polong restart nginx -c nginx
polong restart nginx -c nginx --wait=false
"""

_LOOK = 0.1


@command("restart", help="Restart one container of a Pod in place; its siblings run on.", examples=_EXAMPLES)
@click.argument("pod")
@option("-c", "--container", default="", metavar="NAME", help="The container (may be left out where there is only one).")
@flag("--wait", default=True, help="Wait until it runs again.")
@option("--timeout", type=Duration(), default="90s", metavar="TIME", help="How long to wait.")
@api_options
def restart(target: Target, pod: str, container: str, wait: bool, timeout: float) -> None:
    target.run(lambda api: _restart(api, pod, container, timeout if wait else 0.0))


async def _restart(api: Api, name: str, container: str, timeout: float) -> None:
    pod = await pods.find(api, name)
    name = pod["metadata"]["name"]
    body = {"kind": "Restart", "apiVersion": "polong.dev/v1alpha1", "container": container}
    asked = await api.post(processes.path_of(api.namespace, name, "restart"), body)
    who = f"container {cell(asked['container'])} of pod {cell(name)}"
    if not timeout:
        click.echo(f"{who} is being restarted")
        return
    try:
        async with asyncio.timeout(timeout):
            state, count = await _again(api, name, pod["metadata"]["uid"], asked)
    except TimeoutError:
        raise Failure(f"{who} does not run again after {timeout:g} s: see polong describe pod {cell(name)}") from None
    if "running" not in state:
        kind = "terminated" if "terminated" in state else "waiting"
        reason = cell((state.get(kind) or {}).get("reason", ""))
        raise Failure(f"{who} was restarted and is {kind} again ({reason}): see polong logs {cell(name)}")
    click.echo(f"{who} restarted (restart count {count})")


async def _again(api: Api, name: str, uid: str, asked: Json) -> tuple[Json, int]:
    """State and restart count of the next instance, once there is one."""
    while True:
        pod = await api.get(PODS.path(api.namespace, name))
        if pod["metadata"]["uid"] != uid:
            raise Failure(f"pod {name} was deleted meanwhile")
        for each in (pod.get("status") or {}).get("containerStatuses") or ():
            if each["name"] == asked["container"] and each.get("restartCount", 0) > asked["restartCount"]:
                state = each.get("state") or {}
                if set(state) & {"running", "terminated"} or (state.get("waiting") or {}).get("reason") != "ContainerCreating":
                    return state, int(each["restartCount"])
        await asyncio.sleep(_LOOK)
