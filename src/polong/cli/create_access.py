"""`create namespace`, `create serviceaccount`, `create token`."""

from __future__ import annotations

from typing import Any

import click

from polong.cli import durations, output
from polong.cli.api import Api
from polong.cli.create_words import generator
from polong.cli.flags import api_options, command
from polong.cli.target import Target
from polong.objects.gvk import SERVICE_ACCOUNTS

Json = dict[str, Any]


@generator("namespace", "Create a namespace.", "polong create namespace test")
def namespace(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


@generator("serviceaccount", "Create a ServiceAccount.", "polong create serviceaccount robot")
def serviceaccount(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


@command("token", help="Ask for a token of a ServiceAccount.", examples="polong create token robot --duration=10m")
@click.argument("name", metavar="SERVICE_ACCOUNT")
@click.option("--audience", "audiences", multiple=True, metavar="TEXT", help="For whom it is good. Repeatable.")
@click.option("--duration", default="", metavar="TIME", help="How long it is good, such as 10m.")
@click.option("-o", "--output", "form", metavar="FORMAT", help="One of json|yaml.")
@api_options
def token(target: Target, name: str, audiences: tuple[str, ...], duration: str, form: str | None) -> None:
    spec: Json = {"audiences": list(audiences)} if audiences else {}
    if duration:
        spec["expirationSeconds"] = int(durations.parse(duration))
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}

    async def ask(api: Api) -> Json:
        return await api.post(SERVICE_ACCOUNTS.path(api.namespace, name, "token"), body, [])

    made = target.ask(ask)
    chosen = output.parse(form)
    output.emit(output.document(made, chosen) if chosen.kind else f"{made['status']['token']}\n")


COMMANDS = (namespace, serviceaccount, token)
