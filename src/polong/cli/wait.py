"""`wait`: until objects meet a condition, a JSONPath has a value, or they are gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import click

from polong.cli import manifests, output, resources
from polong.cli.api import Api
from polong.cli.delete import wait_gone
from polong.cli.durations import Duration
from polong.cli.errors import Failure
from polong.cli.flags import api_options, command, flag
from polong.cli.get_view import items_of
from polong.cli.manifests import filename_options
from polong.cli.resources import Selection
from polong.cli.target import Target
from polong.kit.errors import Gone, NotFound
from polong.objects.gvk import Resource

Json = dict[str, Any]
Test = Callable[[Json], bool]

_WEEK = 7 * 86400.0

_EXAMPLES = """
polong wait pod/nginx --for=condition=Ready --timeout=60s
polong wait pods --all --for=delete
polong wait pod/job --for=jsonpath='{.status.phase}'=Succeeded
"""


@command("wait", help="Wait for a condition of objects.", examples=_EXAMPLES)
@click.argument("what", nargs=-1, metavar="TYPE NAME... | TYPE/NAME...")
@filename_options
@click.option("--for", "goal", required=True, metavar="GOAL", help="condition=NAME[=VALUE], jsonpath='{...}'[=VALUE], create or delete.")
@click.option(
    "--timeout",
    type=Duration(),
    default=30.0,
    metavar="TIME",
    help="Give up after this time (default 30s; negative: a week; 0: look once).",
)
@click.option("-l", "--selector", default="", metavar="LABELS", help="Objects that match a label selector.")
@click.option("--field-selector", default="", metavar="FIELDS", help="Objects that match a field selector.")
@flag("--all", help="All objects of the type.")
@flag("-A", "--all-namespaces", help="All namespaces.")
@api_options
def wait(target: Target, what: tuple[str, ...], goal: str, timeout: float, **flags: Any) -> None:  # noqa: ANN401
    test = parse(goal)
    seconds = _WEEK if timeout < 0 else timeout
    target.run(lambda api: _wait(api, what, goal, test, seconds, flags))


def parse(goal: str) -> Test | None:
    """None for create and delete, which are about existence. Failure where the goal is none."""
    kind, _, rest = goal.partition("=")
    if goal.lower() in {"delete", "create"}:
        return None
    if kind == "condition" and rest:
        name, _, value = rest.partition("=")
        return lambda obj: _condition(obj, name.lower(), (value or "true").lower())
    if kind == "jsonpath" and rest:
        end = rest.rfind("}")
        path, value = (rest[: end + 1], rest[end + 1 :].removeprefix("=")) if end >= 0 else rest.partition("=")[::2]
        return lambda obj: _path(obj, path.strip("'"), value.strip("'"))
    raise Failure(f"unrecognized condition: \"{goal}\": use condition=NAME, jsonpath='{{...}}'=VALUE, create or delete")


def _condition(obj: Json, name: str, value: str) -> bool:
    """Conditions of an older generation do not count."""
    generation = obj.get("metadata", {}).get("generation", 0)
    for item in (obj.get("status") or {}).get("conditions") or []:
        if str(item.get("type", "")).lower() == name:
            if item.get("observedGeneration", generation) < generation:
                return False
            return str(item.get("status", "")).lower() == value
    return False


def _path(obj: Json, path: str, value: str) -> bool:
    from polong.objects import jsonpath

    found = list(jsonpath.values(output.relaxed(path), obj))
    return bool(found) if not value else any(_text(item) == value for item in found)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


async def _wait(api: Api, what: tuple[str, ...], goal: str, test: Test | None, seconds: float, flags: dict[str, Any]) -> None:
    pending = ""
    try:
        async with asyncio.timeout(max(seconds, 0.05)):
            if goal.lower() == "create":
                for selection in await resources.select(api, what):
                    for name in selection.names:
                        pending = f"{resources.plural(selection.resource)}/{name}"
                        await _created(api, selection.resource, name)
                        click.echo(f"{resources.title(selection.resource)}/{name} condition met")
                return
            for resource, obj in await _objects(api, what, flags, absent=test is None):
                name = obj["metadata"]["name"]
                pending = f"{resources.plural(resource)}/{name}"
                if test is None:
                    await wait_gone(api, resource, obj)
                else:
                    await _until(api, resource, obj, test)
                click.echo(f"{resources.title(resource)}/{name} condition met")
    except TimeoutError:
        raise Failure(f"timed out waiting for the condition on {pending}") from None


async def _objects(api: Api, what: tuple[str, ...], flags: dict[str, Any], *, absent: bool) -> list[tuple[Resource, Json]]:
    found: list[tuple[Resource, Json]] = []
    chosen = await resources.select(api, what) if what else []
    for item in manifests.read(flags["filenames"], recursive=flags["recursive"]) if flags["filenames"] else []:
        chosen.append(Selection(await resources.for_object(api, item.object), (item.object["metadata"]["name"],)))
    for selection in chosen:
        resource = selection.resource
        if not selection.names:
            if not (flags["all"] or flags["selector"] or flags["field_selector"]):
                raise Failure("resource(s) were provided, but no name was specified")
            query = [
                (key, value) for key, value in (("labelSelector", flags["selector"]), ("fieldSelector", flags["field_selector"])) if value
            ]
            listing = await api.get(resource.path("" if flags["all_namespaces"] else api.namespace), query)
            found += [(resource, item) for item in items_of(listing, selection)]
        for name in selection.names:
            try:
                found.append((resource, await api.get(resource.path(api.namespace, name))))
            except NotFound:
                if not absent:
                    raise
    if not found and not absent:
        raise Failure("no matching resources found")
    return found


async def _until(api: Api, resource: Resource, obj: Json, test: Test) -> None:
    if test(obj):
        return
    metadata = obj["metadata"]
    path = resource.path(metadata.get("namespace", ""))
    query = [("fieldSelector", f"metadata.name={metadata['name']}"), ("resourceVersion", metadata.get("resourceVersion", ""))]
    while True:
        with contextlib.suppress(Gone):
            async with contextlib.aclosing(api.watch(path, query)) as events:
                async for event in events:
                    if event["type"] == "DELETED":
                        raise NotFound(f'{resources.plural(resource)} "{metadata["name"]}" not found', reason="NotFound")
                    if test(event["object"]):
                        return
        current = await api.get(resource.path(metadata.get("namespace", ""), metadata["name"]))
        if test(current):
            return
        query[1] = ("resourceVersion", current["metadata"].get("resourceVersion", ""))


async def _created(api: Api, resource: Resource, name: str) -> None:
    path = resource.path(api.namespace)
    query = [("fieldSelector", f"metadata.name={name}")]
    while True:
        listing = await api.get(path, query)
        if listing.get("items"):
            return
        with contextlib.suppress(Gone):
            async with contextlib.aclosing(
                api.watch(path, [*query, ("resourceVersion", listing["metadata"]["resourceVersion"])])
            ) as events:
                async for event in events:
                    if event["type"] == "ADDED":
                        return
