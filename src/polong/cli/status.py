"""`status`: whether the node runs, and what runs on it."""

from __future__ import annotations

import json
import resource as limits
from pathlib import Path
from typing import Any

import click

from polong.cli.api import Api
from polong.cli.flags import command, root_option
from polong.cli.node import NodeDir
from polong.cli.target import Target
from polong.kit.errors import PolongError
from polong.objects.gvk import NODES, PODS

Json = dict[str, Any]

STOPPED = 3

_EXAMPLES = """
polong status
polong status -o json
"""


@command("status", help="Say whether the node runs, and what runs on it.", examples=_EXAMPLES)
@click.option("-o", "--output", "form", type=click.Choice(["json"]), help="json.")
@root_option
def status(root: str | None, form: str | None) -> int:
    """Exit code 0 where the node runs and answers, 3 where it does not run (as systemctl's), 1 where it runs and does not answer."""
    node = NodeDir(root)
    pid = node.pid()
    found: Json = {"root": str(node.root), "running": pid is not None}
    problem = ""
    if pid is not None:
        settings = node.settings()
        found.update(
            {
                "pid": pid,
                "rssBytes": rss(pid),
                "server": f"https://127.0.0.1:{settings.port}",
                "podCIDR": settings.pod_cidr,
                "runtime": settings.runtime,
            }
        )
        try:
            found.update(Target(kubeconfig=str(node.kubeconfig), root=root, request_timeout="5s").run(_ask))
        except (PolongError, OSError, click.ClickException) as error:
            problem = str(error)
            found["problem"] = problem
    click.echo(json.dumps(found, indent=2) if form else render(found, str(node.log)))
    return STOPPED if pid is None else 1 if problem else 0


async def _ask(api: Api) -> Json:
    nodes = (await api.get(NODES.path())).get("items") or []
    pods = (await api.get(PODS.path())).get("items") or []
    phases: dict[str, int] = {}
    for pod in pods:
        phase = (pod.get("status") or {}).get("phase") or "Unknown"
        phases[phase] = phases.get(phase, 0) + 1
    conditions = (nodes[0].get("status") or {}).get("conditions") or [] if nodes else []
    ready: Json = next((item for item in conditions if item.get("type") == "Ready"), {})
    info = (nodes[0].get("status") or {}).get("nodeInfo") or {} if nodes else {}
    return {
        "node": nodes[0]["metadata"]["name"] if nodes else "",
        "ready": ready.get("status") == "True",
        "reason": "" if ready.get("status") == "True" else ready.get("message", ""),
        "containerRuntime": info.get("containerRuntimeVersion", ""),
        "pods": phases,
    }


def rss(pid: int) -> int:
    """Resident bytes; 0 where the process is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * limits.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def render(found: Json, log: str) -> str:
    from polong.cli.describe_text import Text

    text = Text()
    if not found["running"]:
        text.line(0, f"Node:\tnot running ({found['root']})")
        return text.render()
    state = "Ready" if found.get("ready") else "not answering" if found.get("problem") else "NotReady"
    text.line(0, f"Node:\t{found.get('node') or '?'}, {state}" + (f" ({found['reason']})" if found.get("reason") else ""))
    text.line(0, f"Server:\t{found['server']}")
    text.line(0, f"Root:\t{found['root']}")
    text.line(0, f"Log:\t{log}")
    text.line(0, f"Engine:\tpid {found['pid']}, {found['rssBytes'] / 2**20:.0f} MiB")
    text.line(0, f"Runtime:\t{found.get('containerRuntime') or found['runtime']}")
    text.line(0, f"Pod network:\t{found['podCIDR']}")
    if "pods" in found:
        counted = ", ".join(f"{count} {phase}" for phase, count in sorted(found["pods"].items()))
        text.line(0, f"Pods:\t{counted or 'none'}")
    if found.get("problem"):
        text.line(0, f"Problem:\t{found['problem']}")
    return text.render()
