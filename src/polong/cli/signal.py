"""`signal POD SIGNAL`: to a container's main process, wherever its PID is, or to others that are chosen; says who received it."""

from __future__ import annotations

from typing import Any

import click

from polong.cli import output, pods, processes
from polong.cli.api import Api
from polong.cli.errors import Failure, explain
from polong.cli.escape import block, cell
from polong.cli.flags import api_options, command, flag, option
from polong.cli.target import Target
from polong.kit.errors import PolongError
from polong.objects.gvk import PODS

Json = dict[str, Any]

_EXAMPLES = """
polong signal nginx -c nginx HUP
polong signal nginx --match 'nginx: worker*' --dry-run TERM
polong signal nginx --pid 13 USR1
polong signal -l app=web -c nginx HUP
"""


@command("signal", help="Send a signal to a container's main process, or to others of a Pod; say who received it.", examples=_EXAMPLES)
@click.argument("pod", required=False, default="", metavar="[POD]")
@click.argument("name", required=False, default="", metavar="SIGNAL")
@option("-l", "--selector", default="", metavar="LABELS", help="In place of POD: every Pod with these labels.")
@option("-c", "--container", default="", metavar="NAME", help="The container; its main process, unless others are chosen.")
@option("--pid", type=click.IntRange(1), metavar="N", help="The process with this PID inside the Pod.")
@option("--match", default="", metavar="PATTERN", help="Processes whose command line holds this; * and ? stand for anything.")
@flag("--all", help="All processes of the container, or of the Pod.")
@flag("--allow-pause", help="/pause too, whose end ends every container that shares its namespace.")
@flag("--dry-run", help="Only say who would receive it.")
@option("-o", "--output", "form", metavar="FORMAT", help="One of json|yaml|jsonpath=.")
@api_options
def signal(target: Target, pod: str, name: str, form: str | None, **flags: Any) -> int:  # noqa: ANN401
    chosen = output.parse(form)
    if chosen.kind in ("name", "wide", "custom-columns"):
        raise Failure(f"signal has no output format {chosen.kind}: use json, yaml or jsonpath=")
    if sum(1 for each in (flags["pid"], flags["match"], flags["all"]) if each) > 1:
        raise Failure("choose by one of --pid, --match and --all")
    selector = flags["selector"]
    if selector and name:
        raise Failure("name one pod, or choose several by -l, not both")
    if selector:
        pod, name = "", pod
    if not name or not (pod or selector):
        raise click.UsageError("name the pod and the signal: polong signal POD HUP, or polong signal -l LABELS HUP")
    body: Json = {
        "kind": "Signal",
        "apiVersion": "polong.dev/v1alpha1",
        "signal": name,
        "container": flags["container"],
        "match": flags["match"],
        "all": flags["all"],
        "allowPause": flags["allow_pause"],
        "dryRun": flags["dry_run"],
    }
    if flags["pid"]:
        body["pid"] = flags["pid"]
    if not selector:
        answer: Json = target.ask(lambda api: _send(api, pod, body))
        output.emit("".join(line + "\n" for line in lines(answer)) if chosen.table else output.document(answer, chosen))
        return 0 if _reached(answer) else 1
    answers, failed = target.ask(lambda api: _send_to_all(api, selector, body))
    if not chosen.table:
        output.emit(output.document(output.as_list(answers), chosen))
    for each in answers if chosen.table else ():
        output.emit("".join(f"pod {cell(each['metadata']['name'])}: {line}\n" for line in lines(each)))
    return 0 if answers and not failed and all(map(_reached, answers)) else 1


def _reached(answer: Json) -> bool:
    return any(each["outcome"] in ("sent", "would be sent") for each in answer["receivers"])


async def _send(api: Api, name: str, body: Json) -> Json:
    found = await pods.find(api, name)
    return await api.post(processes.path_of(api.namespace, found["metadata"]["name"], "signal"), body)


async def _send_to_all(api: Api, selector: str, body: Json) -> tuple[list[Json], int]:
    """The answers, and how many Pods refused; each refusal is told at once, and spares the others."""
    listing = await api.get(PODS.path(api.namespace), [("labelSelector", selector)])
    names = [item["metadata"]["name"] for item in listing.get("items") or ()]
    if not names:
        raise Failure(f"no pod in namespace {api.namespace} has the labels {selector}")
    answers: list[Json] = []
    failed = 0
    for name in names:
        try:
            answers.append(await api.post(processes.path_of(api.namespace, name, "signal"), body))
        except PolongError as error:
            failed += 1
            click.echo(block(explain(error)), err=True)
    return answers, failed


def lines(answer: Json) -> list[str]:
    """One a receiver."""
    return [f"{answer['signal']} {_outcome(each)} PID {each['pid']} {_who(each)}" for each in answer["receivers"]]


def _outcome(receiver: Json) -> str:
    outcome = str(receiver["outcome"])
    if outcome == "vanished":
        return "not sent, it has just ended:"
    return f"{outcome} to" if outcome in ("sent", "would be sent") else f"not sent, {cell(outcome)}:"


def _who(receiver: Json) -> str:
    owner = f"container {cell(receiver['container'])}" if receiver["container"] else "the pod itself"
    words = cell(" ".join(receiver.get("command") or ()) or receiver.get("name", ""))
    return f"of {owner} (host PID {receiver['hostPID']}): {words}"
