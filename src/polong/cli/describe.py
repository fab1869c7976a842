"""`describe`: an object in detail, with its events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from polong.cli import describe_account, describe_config, describe_limits, describe_other, describe_pod, output, resources
from polong.cli.api import Api
from polong.cli.describe_text import Text, events
from polong.cli.errors import Failure
from polong.cli.flags import api_options, command, flag
from polong.cli.get_view import items_of
from polong.cli.resources import Selection
from polong.cli.target import Target
from polong.kit.errors import NotFound
from polong.objects.gvk import CONFIG_MAPS, EVENTS, NAMESPACES, NODES, PODS, SECRETS

Json = dict[str, Any]

_WITHOUT_EVENTS = (NAMESPACES.kind, SECRETS.kind, "ResourceQuota", "LimitRange")

_EXAMPLES = """
polong describe pod nginx
polong describe pods -l app=web
polong describe node
"""


@command("describe", help="Show objects in detail, with their events.", examples=_EXAMPLES)
@click.argument("what", nargs=-1, metavar="TYPE [NAME...] | TYPE/NAME...")
@click.option("-l", "--selector", default="", metavar="LABELS", help="Objects that match a label selector.")
@flag("-A", "--all-namespaces", help="All namespaces.")
@flag("--show-events", default=True, help="Print events.")
@api_options
def describe(target: Target, what: tuple[str, ...], selector: str, all_namespaces: bool, show_events: bool) -> None:
    target.ask(lambda api: _describe(api, what, selector, all_namespaces, show_events))


async def _describe(api: Api, what: tuple[str, ...], selector: str, everywhere: bool, show_events: bool) -> None:
    found: list[Json] = []
    for selection in await resources.select(api, what):
        found += await _objects(api, selection, selector, everywhere)
    if not found:
        where = "" if everywhere else f" in {api.namespace} namespace."
        click.echo(f"No resources found{where}", err=True)
    for index, obj in enumerate(found):
        text = await _text(api, obj)
        if show_events and obj.get("kind") not in _WITHOUT_EVENTS:
            events(text, await _events(api, obj), datetime.now(UTC))
        output.emit(("\n\n" if index else "") + text.render() + "\n")


async def _objects(api: Api, selection: Selection, selector: str, everywhere: bool) -> list[Json]:
    resource = selection.resource
    if not selection.names:
        query = [("labelSelector", selector)] if selector else []
        return items_of(await api.get(resource.path("" if everywhere else api.namespace), query), selection)
    found = []
    for name in selection.names:
        try:
            found.append(await api.get(resource.path(api.namespace, name)))
        except NotFound:
            matches = [
                item
                for item in items_of(await api.get(resource.path(api.namespace)), selection)
                if item["metadata"]["name"].startswith(name)
            ]
            if not matches:
                raise
            found += matches
    return found


async def _text(api: Api, obj: Json) -> Text:
    match obj.get("kind"):
        case PODS.kind:
            return describe_pod.pod(obj)
        case NODES.kind:
            on = await api.get(PODS.path(), [("fieldSelector", f"spec.nodeName={obj['metadata']['name']}")])
            pods = [pod for pod in on.get("items") or [] if pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}]
            return describe_other.node(obj, pods)
        case NAMESPACES.kind:
            name = obj["metadata"]["name"]
            found = [await api.get(f"/api/v1/namespaces/{name}/{plural}") for plural in ("resourcequotas", "limitranges")]
            return describe_limits.namespace(obj, *(listing.get("items") or [] for listing in found))
        case CONFIG_MAPS.kind:
            return describe_config.config_map(obj)
        case SECRETS.kind:
            return describe_config.secret(obj)
        case "ResourceQuota":
            return describe_limits.quota(obj)
        case "LimitRange":
            return describe_limits.limit_range(obj)
        case "PriorityClass":
            return describe_limits.priority_class(obj)
        case "ServiceAccount":
            listed = (await api.get(SECRETS.path(obj["metadata"]["namespace"]))).get("items") or []
            return describe_account.service_account(obj, {str(secret["metadata"]["name"]) for secret in listed})
        case None:
            raise Failure("the server answered with something that is not an object")
        case _:
            return describe_other.anything(obj)


async def _events(api: Api, obj: Json) -> list[Json]:
    metadata = obj["metadata"]
    namespace = metadata.get("namespace", "")
    fields = [("involvedObject.name", metadata["name"]), ("involvedObject.namespace", namespace)]
    if obj.get("kind") != NODES.kind:
        fields.append(("involvedObject.uid", metadata.get("uid", "")))
    else:
        fields.append(("involvedObject.kind", NODES.kind))
    selector = ",".join(f"{key}={value}" for key, value in fields if value)
    return list((await api.get(EVENTS.path(namespace), [("fieldSelector", selector)])).get("items") or [])
