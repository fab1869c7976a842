"""`audit [POD...]`: what a shared process namespace lays open in Pods that run. Names of variables are told, values never asked for."""

from __future__ import annotations

import json
from typing import Any

import click

from polong.cli import output, pods
from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.escape import cell
from polong.cli.flags import api_options, command, flag
from polong.cli.tabular import Table
from polong.cli.target import Target
from polong.kit.errors import PolongError
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
def audit(target: Target, names: tuple[str, ...], all_namespaces: bool, form: str | None) -> None:
    if form not in (None, "json"):
        raise Failure(f"audit has no output format {form!r}: use json")
    target.ask(lambda api: _audit(api, names, all_namespaces=all_namespaces, as_json=form == "json"))


async def _audit(api: Api, names: tuple[str, ...], *, all_namespaces: bool, as_json: bool) -> None:
    if names:
        chosen = [await pods.find(api, name) for name in names]
    else:
        chosen = (await api.get(PODS.path("" if all_namespaces else api.namespace))).get("items") or []
    findings: list[Json] = []
    for pod in chosen:
        if sharing.shared(pod):
            metadata = pod["metadata"]
            path = f"{_GROUP}/namespaces/{metadata['namespace']}/pods/{metadata['name']}/access"
            try:
                findings += found(pod, await api.get(path))
            except PolongError as error:
                click.echo(f"Warning: pod {cell(metadata['name'])}: {cell(error.message)}", err=True)
    if as_json:
        output.emit(json.dumps({"findings": findings}, indent=4) + "\n")
    elif findings:
        table = Table(("NAMESPACE", "POD", "CONTAINER", "WHAT", "OPEN TO"))
        rows = [[each["namespace"], each["pod"], each["container"], each["what"], ",".join(each["openTo"]) or "-"] for each in findings]
        output.emit("\n".join(table.lines(rows)) + "\n")
    else:
        click.echo("No Pod that runs lays open secrets or files through a shared process namespace.", err=True)


def found(pod: Json, access: Json) -> list[Json]:
    """Findings of one Pod: {namespace, pod, container, kind, what, openTo}; `kind` is variable, files or pid1. Pure."""
    metadata = pod["metadata"]
    findings = []
    for name in pods.containers(pod):
        items = [item for item in access.get("items") or [] if item["to"] == name]

        def finding(kind: str, what: str, action: str = "", *, container: str = name, of: list[Json] = items) -> Json:
            open_to = [item["from"] for item in of if action and _possible(item["verdicts"][action])]
            where = {"namespace": metadata["namespace"], "pod": metadata["name"], "container": container}
            return {**where, "kind": kind, "what": what, "openTo": list(dict.fromkeys(open_to))}

        variables = [finding("variable", f"variable {each}", "environ") for each in sharing.secret_variables(pods.spec_of(pod, name))]
        findings += [each for each in [*variables, finding("files", "file system", "root")] if each["openTo"]]
        if items:
            findings += [finding("pid1", sentence) for sentence in sharing.pid_1(items[0]["process"]["command"])]
    return findings


def _possible(verdict: Json) -> bool:
    return bool(verdict["allowed"] or verdict["indirect"])
