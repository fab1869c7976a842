"""`down`: delete the Pods, wait until they are gone, then stop the node and clear what only it holds."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import click

from polong.cli.api import Api
from polong.cli.delete import wait_gone
from polong.cli.durations import Duration
from polong.cli.errors import Failure
from polong.cli.escape import cell
from polong.cli.flags import command, flag, root_option
from polong.cli.node import NodeDir, require_root, stop
from polong.cli.target import Target
from polong.kit.errors import NotFound
from polong.objects import pod as pods
from polong.objects.gvk import PODS

Json = dict[str, Any]

_STOP = 30.0
_SPARE = 30.0

_EXAMPLES = """
polong down
polong down --grace-period 2
polong down --keep-pods
polong down --shutdown
"""


@command("down", help="Stop all Pods, then the node; nothing is left behind.", examples=_EXAMPLES)
@flag("--keep-pods", help="Stop only the node: Pods keep running, the next `up` takes them over.")
@flag("--shutdown", help="As when the machine goes down: Pods end by priority and are kept as Failed, reason Terminated.")
@click.option("--grace-period", type=int, default=-1, metavar="SECONDS", help="Time that Pods get to stop in; -1 is each Pod's own.")
@click.option(
    "--timeout", type=Duration(), default=0.0, metavar="TIME", help="Give up after this time (default: the longest grace period and 30 s)."
)
@root_option
def down(root: str | None, keep_pods: bool, shutdown: bool, grace_period: int, timeout: float) -> None:
    require_root()
    if shutdown and (keep_pods or grace_period >= 0):
        raise Failure("--shutdown goes with neither --keep-pods nor --grace-period: the KubeletConfiguration says how long Pods may take")
    node = NodeDir(root)
    pid = node.pid()
    if pid is None:
        if keep_pods or shutdown or not node.run_dir.exists():
            click.echo(f"The node of {node.root} does not run.")
            return
        pid = _revive(node)
    if shutdown:
        _shut_down(node, pid, timeout)
        return
    spare = 0
    if not keep_pods:
        target = Target(kubeconfig=str(node.kubeconfig), root=str(node.root))
        spare = target.run(lambda api: _remove_pods(api, grace_period, timeout))
    # SIGTERM leaves everything running; SIGUSR1 also clears network, cgroups and run directory (see daemon.lifecycle).
    if not stop(pid, signal.SIGTERM if keep_pods else signal.SIGUSR1, _STOP + spare):
        raise Failure(f"the node (pid {pid}) did not stop within {_STOP + spare:.0f} s; its log is {node.log}")
    if not keep_pods and node.run_dir.exists():
        raise Failure(f"the node stopped, but {node.run_dir} is not cleared; its log {node.log} says why")
    click.echo("The node is stopped; its Pods keep running." if keep_pods else "The node is stopped; nothing of it is left running.")


def _shut_down(node: NodeDir, pid: int, timeout: float) -> None:
    """Pods of one priority end side by side, one priority after the other."""
    target = Target(kubeconfig=str(node.kubeconfig), root=str(node.root))

    async def most(api: Api) -> float:
        longest: dict[int, int] = {}
        for pod in (await api.get(PODS.path())).get("items") or []:
            priority = (pod.get("spec") or {}).get("priority") or 0
            longest[priority] = max(longest.get(priority, 0), _grace(pod))
        return float(sum(longest.values()))

    seconds = timeout or target.run(most) + _STOP
    if not stop(pid, signal.SIGPWR, seconds):
        raise Failure(f"the node (pid {pid}) did not stop within {seconds:.0f} s; its log is {node.log}")
    click.echo("The node is stopped as if the machine went down: its Pods have ended and stay as Failed.")


def _revive(node: NodeDir) -> int:
    """A node that died left containers behind: only a running one can take them down in order."""
    from polong.cli.up import prepare, start

    click.echo("The node does not run but left Pods behind: starting it to remove them.", err=True)
    prepare(node, None, None, None)
    start(node)
    pid = node.pid()
    if pid is None:
        raise Failure(f"the node ended again; its log is {node.log}")
    return pid


async def _remove_pods(api: Api, grace: int, timeout: float) -> int:
    """The seconds that static Pods may take: these have no object that could be deleted, and end with the node."""
    listed: list[Json] = list((await api.get(PODS.path())).get("items") or [])
    found = [each for each in listed if not pods.mirror_of(each)]
    spare = max((_grace(each) for each in listed if pods.mirror_of(each)), default=0)
    if not found:
        return spare
    body: Json = {} if grace < 0 else {"gracePeriodSeconds": grace}
    longest = max((_grace(pod) for pod in found), default=0) if grace < 0 else grace
    for pod in found:
        try:
            await api.delete(PODS.path(pod["metadata"]["namespace"], pod["metadata"]["name"]), body)
        except NotFound:
            continue
        click.echo(f'pod "{cell(pod["metadata"]["name"])}" deleted')
    try:
        async with asyncio.timeout(timeout or longest + _SPARE):
            for pod in found:
                await wait_gone(api, PODS, pod)
    except TimeoutError:
        left = [item["metadata"]["name"] for item in (await api.get(PODS.path())).get("items") or []]
        raise Failure(f"these Pods did not stop in time: {', '.join(left)}; the node still runs") from None
    return spare


def _grace(pod: Json) -> int:
    value = (pod.get("spec") or {}).get("terminationGracePeriodSeconds")
    return value if isinstance(value, int) else 30
