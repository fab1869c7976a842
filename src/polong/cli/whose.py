"""`whose PID`: the Pod and container that a process of the host belongs to; also from a line of the kernel's log."""

from __future__ import annotations

import re
from typing import Any

import click

from polong.cli import output
from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.escape import cell
from polong.cli.flags import api_options, command, option
from polong.cli.processes import GROUP
from polong.cli.ps_tree import POD, cpu, size
from polong.cli.tabular import align
from polong.cli.target import Target

Json = dict[str, Any]

_EXAMPLES = """
polong whose 4711
polong whose 'Memory cgroup out of memory: Killed process 4711 (java) total-vm:5120kB'
polong whose 4711 -o jsonpath='{.pod.name}'
"""

_NUMBER = re.compile(r"\d+")
_CGROUP = re.compile(r"\btask_memcg=([^\s,]+)")
_KILLED = re.compile(r"\bKilled process \d|\boom-kill:")
# oom-kill:…,task=java,pid=4711,uid=0 · Killed process 4711 (java) · Comm: java … PID: 4711 · java[4711]: segfault at … · a row of the
# table of tasks: [ 4711]     0  4711 …
_PIDS = (
    re.compile(r"\bpid=(\d+)"),
    re.compile(r"[Kk]ill(?:ed)? process (\d+)"),
    re.compile(r"\bPID: (\d+)"),
    re.compile(r"\S\[(\d+)\][: ]"),
    re.compile(r"\[ *(\d+)\]\s+\d+\s+\1\s"),
)


def parse(text: str) -> tuple[int, str, bool]:
    """(PID, cgroup or "", whether it says that the process was killed) of a number, or of a line of dmesg. Failure where it holds none."""
    text = text.strip()
    if _NUMBER.fullmatch(text) and text.isascii():
        return int(text), "", False
    for pattern in _PIDS:
        if (found := pattern.search(text)) is not None:
            cgroup = _CGROUP.search(text)
            return int(found[1]), cgroup[1] if cgroup else "", _KILLED.search(text) is not None
    raise Failure(f"{text[:60]!r} holds no PID: give a number, or a line of dmesg in quotes")


@command("whose", help="Say whose a process of the host is: pod, container, role, cgroup.", examples=_EXAMPLES)
@click.argument("pid", metavar="PID|LINE")
@option("-o", "--output", "form", metavar="FORMAT", help="One of json|yaml|jsonpath=.")
@api_options
def whose(target: Target, pid: str, form: str | None) -> int:
    line = parse(pid)
    chosen = output.parse(form)
    if chosen.kind in ("name", "wide", "custom-columns"):
        raise Failure(f"whose has no output format {chosen.kind}: use json, yaml or jsonpath=")
    found: Json = target.ask(lambda api: _ask(api, *line))
    if not chosen.table:
        output.emit(output.document(found, chosen))
    elif found.get("pod"):
        output.emit("\n".join(lines(found)) + "\n")
    else:
        click.echo(stranger(found), err=True)
    return 0 if found.get("pod") else 1


async def _ask(api: Api, number: int, cgroup: str, killed: bool) -> Json:
    query = [*([("cgroup", cgroup)] if cgroup else []), *([("killed", "true")] if killed else [])]
    return await api.get(f"{GROUP}/hostprocesses/{number}", query)


def stranger(found: Json) -> str:
    """What is said of a process that belongs to no Pod of this node."""
    words = " ".join(found.get("command") or ()) or found.get("name", "")
    what = f"host PID {found.get('hostPID')}{f' ({cell(words[:80])})' if words else ''}"
    return f"{what} belongs to no pod of this node; its cgroup is {cell(found.get('cgroup', '') or '/')}"


def _user(process: Json) -> str:
    uid, inside = process.get("uid"), process.get("containerUID", process.get("uid"))
    numbers = f"{inside}" if inside == uid else f"{inside} inside, {uid} on the host"
    return f"{cell(process.get('user') or '?')} ({numbers})"


def lines(found: Json) -> list[str]:
    """Name and value, one a line."""
    pod, process = found["pod"], found.get("process") or {}
    name = f"{cell(pod['namespace'])}/{cell(pod['name'])}" if pod.get("name") else "gone"
    ended = found.get("ended")
    rows = [
        ("Pod", f"{name} (uid {cell(pod['uid'])})"),
        ("Container", cell(found.get("container") or (POD if found.get("role") == "pause" else "unknown: it is gone"))),
    ]
    if process:
        words = " ".join(process.get("command") or ()) or process.get("name", "")
        rows += [
            ("Role", str(found.get("role", "")) + (", zombie" if process.get("zombie") else "")),
            ("PID", f"{process['pid']} inside, {found['hostPID']} on the host"),
            ("User", _user(process)),
            ("State", f"{process.get('state')}, CPU {cpu(process.get('cpuSeconds'))}, RSS {size(process.get('rssBytes'))}"),
            ("Started", str(process.get("startTime", ""))),
            ("Command", cell(words)),
        ]
    else:
        if "role" in found:
            rows.append(("Role", cell(found["role"]) or "not the main process"))
        rows.append(("PID", f"{found['hostPID']} on the host{f', {cell(ended)}' if ended else ''}: it has ended"))
        if found.get("name"):
            rows.append(("Name", cell(found["name"])))
    rows.append(("Cgroup", cell(found.get("cgroup", ""))))
    return align("\n".join(f"{key}:\t{value}" for key, value in rows)).split("\n")
