"""`access POD`: which container may do what to which, why, and what to change in the Pod to allow or forbid it."""

from __future__ import annotations

from typing import Any

import click

from polong.cli import output, pods
from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.escape import cell
from polong.cli.flags import api_options, command, flag
from polong.cli.tabular import Table
from polong.cli.target import Target

Json = dict[str, Any]

_GROUP = "/apis/polong.dev/v1alpha1"
_ACTIONS = ("see", "signal", "environ", "root", "ptrace")
_MEANING = {
    "see": "see it in /proc",
    "signal": "signal it",
    "environ": "read its environment",
    "root": "enter its file system (/proc/PID/root, cwd)",
    "ptrace": "trace it",
}
_SANDBOX = "<pod>"

_EXAMPLES = """
polong access nginx
polong access nginx --from shell --to nginx
polong access nginx --verify
polong access nginx -o json
"""

_HELP = "Explain what containers of a Pod may do to each other's processes, and which rule decides."


@command("access", help=_HELP, examples=_EXAMPLES)
@click.argument("pod")
@click.option("--from", "source", metavar="CONTAINER", help="Only what this container may do.")
@click.option("--to", "goal", metavar="CONTAINER", help="Only what may be done to this one; tells of each of its processes.")
@click.option("-o", "--output", "form", metavar="FORMAT", help="One of json|yaml|jsonpath=.")
@flag("--verify", help="Try each verdict from inside of the caller's container too; nothing is done to the processes.")
@flag("--no-headers", help="No heading line.")
@api_options
def access(target: Target, pod: str, source: str | None, goal: str | None, form: str | None, no_headers: bool, verify: bool) -> int:
    chosen = output.parse(form)
    if chosen.kind in {"name", "custom-columns", "wide"}:
        raise Failure(f"access has no output format {form!r}: use json, yaml or jsonpath=")
    between = source or "", goal or ""
    found = target.ask(lambda api: _access(api, pod, between, verify=verify))
    output.emit(output.document(found, chosen) if not chosen.table else render(found, explain=any(between), headers=not no_headers))
    return 1 if (found.get("verification") or {}).get("different") else 0


async def _access(api: Api, name: str, between: tuple[str, str], *, verify: bool) -> Json:
    pod = await pods.find(api, name)
    for each in filter(None, between):
        pods.require(pod, each)
    path = f"{_GROUP}/namespaces/{api.namespace}/pods/{pod['metadata']['name']}/access"
    asked = {key: value for key, value in zip(("from", "to"), between, strict=True) if value}
    if verify:
        return await api.post(path, {"kind": "PodAccess", "apiVersion": "polong.dev/v1alpha1", "verify": True, **asked})
    return await api.get(path, list(asked.items()))


def render(found: Json, *, explain: bool, headers: bool = True) -> str:
    """A table, `yes`, `no` or `setuid` in each cell; with `explain` the reason of each, and what to change. Pure."""
    items = found.get("items") or []
    if not items:
        return "No other container of this Pod runs: there is nothing to reach.\n"
    table = Table(("FROM", "TO", "PID", "SEE", "SIGNAL", "ENVIRON", "ROOT", "PTRACE", "COMMAND"), headers=headers)
    lines = table.lines([_row(item) for item in items])
    if explain:
        for item in items:
            lines += ["", *_explained(item)]
    else:
        lines += _hints(items)
    lines += _verified(found.get("verification"))
    lines += [f"note: {cell(note)}" for note in found.get("notes") or []]
    return "\n".join(lines) + "\n"


def _verified(verification: Json | None) -> list[str]:
    """What came of trying: one line where all is as computed, else a loud one for each that is not."""
    if verification is None:
        return []
    different, tried = verification["different"], verification["tried"]
    if not different:
        return ["", f"verified: {tried} verdicts were tried from inside, and all came out as computed."]
    lines = ["", f"DIFFERENT: {len(different)} of {tried} verdicts that were tried from inside did not come out as computed:"]
    for each in different:
        goal = cell(each["to"] or _SANDBOX)
        computed, was = ("allowed" if each[key] else "refused" for key in ("computed", "tried"))
        where = f"{cell(each['from'])} -> {goal}, PID {each['pid']}"
        lines.append(f"  {where}: {cell(each['action'])} is computed as {computed}, and was {was}")
    return [*lines, "What was tried is the truth; please report the difference."]


def _row(item: Json) -> list[object]:
    verdicts, process = item["verdicts"], item["process"]
    return [
        item["from"],
        item["to"] or _SANDBOX,
        process["pid"] if verdicts["see"]["rule"] != "pid-namespace" or verdicts["see"]["allowed"] else "-",
        *(_word(verdicts[action]) for action in _ACTIONS),
        " ".join(process["command"])[:60],
    ]


def _word(verdict: Json) -> str:
    word = "yes" if verdict["allowed"] else "setuid" if verdict["indirect"] else "no"
    tried = verdict.get("tried")
    return word if tried is None or tried == verdict["allowed"] else f"{word}, BUT {'YES' if tried else 'NO'}"


def _hints(items: list[Json]) -> list[str]:
    lines = []
    if all(not item["verdicts"]["see"]["allowed"] and item["verdicts"]["see"]["rule"] == "pid-namespace" for item in items):
        lines += ["", "The containers are in different PID namespaces: with shareProcessNamespace: true they would see each other."]
    if any(verdict["indirect"] for item in items for verdict in item["verdicts"].values()):
        lines += ["", "setuid: refused as it is, but its CAP_SETUID and CAP_SETGID let it take the other's user first."]
    return [*lines, "", "`polong access POD --from CONTAINER --to CONTAINER` tells the rule that decides, and what to change."]


def _explained(item: Json) -> list[str]:
    process, verdicts = item["process"], item["verdicts"]
    goal = item["to"] or _SANDBOX
    words = cell(" ".join(process["command"])[:60])
    lines = [f"{cell(item['from'])} -> {cell(goal)}, PID {process['pid']} (uid {process['uid']}): {words}"]
    for action in _ACTIONS:
        verdict = verdicts[action]
        lines.append(f"  {_MEANING[action]}: {'yes' if verdict['allowed'] else 'no'}, {cell(verdict['reason'])} [{cell(verdict['rule'])}]")
        if verdict["indirect"]:
            lines.append(f"    but {cell(verdict['indirect'])}")
        open_now = verdict["allowed"] or verdict["indirect"]
        if verdict.get("change"):
            lines.append(f"    to {'forbid' if open_now else 'allow'} it: {cell('; '.join(verdict['change']))}")
    return lines
