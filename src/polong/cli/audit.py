"""`audit [POD...]`: what a shared process namespace lays open in Pods that run. Names of variables are told, values never asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click

from polong.cli import output, pods
from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.escape import cell
from polong.cli.flags import api_options, command, flag
from polong.cli.tabular import Table
from polong.cli.target import Target
from polong.kit.errors import FailedPrecondition, PolongError
from polong.objects import sharing
from polong.objects.gvk import PODS

Json = dict[str, Any]

_GROUP = "/apis/polong.dev/v1alpha1"

_EXAMPLES = """
polong audit
polong audit nginx
polong audit -A -o json
"""

_HELP = "List which containers can read whose secrets and files, in Pods that share processes."


@command("audit", help=_HELP, examples=_EXAMPLES)
@click.argument("names", nargs=-1, metavar="[POD...]")
@flag("-A", "--all-namespaces", help="Pods of all namespaces.")
@click.option("-o", "--output", "form", metavar="FORMAT", help="json.")
@api_options
def audit(target: Target, names: tuple[str, ...], all_namespaces: bool, form: str | None) -> int:
    if form not in (None, "json"):
        raise Failure(f"audit has no output format {form!r}: use json")
    return target.ask(lambda api: _audit(api, names, all_namespaces=all_namespaces, as_json=form == "json"))


async def _audit(api: Api, names: tuple[str, ...], *, all_namespaces: bool, as_json: bool) -> int:
    """1 where a Pod could not be looked at: that nothing was found there would be no comfort."""
    if names:
        chosen = [await pods.find(api, name) for name in names]
    else:
        chosen = (await api.get(PODS.path("" if all_namespaces else api.namespace))).get("items") or []
    findings: list[Json] = []
    blind = False
    for pod in chosen:
        if sharing.shared(pod):
            metadata = pod["metadata"]
            path = f"{_GROUP}/namespaces/{metadata['namespace']}/pods/{metadata['name']}/access"
            try:
                findings += found(pod, await _access(api, path, pod))
            except PolongError as error:
                blind = True
                click.echo(f"Warning: pod {cell(metadata['name'])}: {cell(error.message)}", err=True)
    if as_json:
        output.emit(json.dumps({"findings": findings}, indent=4) + "\n")
    elif findings:
        table = Table(("NAMESPACE", "POD", "CONTAINER", "WHAT", "OPEN TO"))
        rows = [[each["namespace"], each["pod"], each["container"], each["what"], ",".join(each["openTo"]) or "-"] for each in findings]
        output.emit("\n".join(table.lines(rows)) + "\n")
    elif not blind:
        click.echo("No Pod that runs lays open secrets or files through a shared process namespace.", err=True)
    return int(blind)


async def _access(api: Api, path: str, pod: Json) -> list[Json]:
    """Items of all containers that run, each of their processes among the targets: a worker may have another user than its master."""
    items: list[Json] = []
    for name in _running(pod):
        try:
            items += (await api.get(path, [("to", name)])).get("items") or []
        except FailedPrecondition:
            continue
    return items


def _running(pod: Json) -> list[str]:
    status = pod.get("status") or {}
    fields = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    return [each["name"] for field in fields for each in status.get(field) or () if "running" in (each.get("state") or {})]


def found(pod: Json, access: list[Json]) -> list[Json]:
    """Findings of one Pod: {namespace, pod, container, kind, what, openTo}; `kind` is variable, secret, files or pid1. Pure."""
    metadata = pod["metadata"]
    findings = []
    for name in pods.containers(pod):
        items = [item for item in access if item["to"] == name]
        others = [item for item in items if item["from"] != name]

        def finding(kind: str, what: str, open_to: Iterable[str] = (), *, container: str = name) -> Json:
            where = {"namespace": metadata["namespace"], "pod": metadata["name"], "container": container}
            return {**where, "kind": kind, "what": what, "openTo": list(dict.fromkeys(open_to))}

        readers = [item["from"] for item in others if _possible(item["verdicts"]["environ"])]
        visitors = [item["from"] for item in others if _possible(item["verdicts"]["root"])]
        container = pods.spec_of(pod, name)
        told = [finding("variable", f"variable {each}", readers) for each in sharing.secret_variables(container)]
        told += [
            finding("secret", f"{each.path} ({each.what})", _without(pod, visitors, each.volume))
            for each in sharing.secret_files(pod, container)
        ]
        findings += [each for each in [*told, finding("files", "file system", visitors)] if each["openTo"]]
        if items:
            findings += [finding("pid1", sentence) for sentence in sharing.pid_1(items[0]["process"]["command"])]
    return findings


def _without(pod: Json, names: Iterable[str], volume: str) -> list[str]:
    """Those that do not have that volume themselves."""
    mounts = {name: {each.get("name") for each in pods.spec_of(pod, name).get("volumeMounts") or ()} for name in names}
    return [name for name, own in mounts.items() if volume not in own]


def _possible(verdict: Json) -> bool:
    return bool(verdict["allowed"] or verdict["indirect"])
