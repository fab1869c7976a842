"""`delete`: by name, file, label or all; graceful, and waits until the objects are gone."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import click

from polong.cli import manifests, resources
from polong.cli.api import Api
from polong.cli.durations import Duration
from polong.cli.errors import Failure, explain
from polong.cli.escape import block, cell
from polong.cli.flags import api_options, command, flag
from polong.cli.manifests import filename_options
from polong.cli.target import Target
from polong.kit.errors import Gone, NotFound
from polong.objects.gvk import Resource

Json = dict[str, Any]

_EXAMPLES = """
polong delete pod nginx
polong delete -f pod.yaml
polong delete pods --all --grace-period=5
polong delete pod stuck --force
"""


_SUFFIX = {"none": "", "client": " (dry run)", "server": " (server dry run)"}


@command("delete", help="Delete objects.", examples=_EXAMPLES)
@click.argument("what", nargs=-1, metavar="TYPE NAME... | TYPE/NAME...")
@filename_options
@click.option("-l", "--selector", default="", metavar="LABELS", help="Objects that match a label selector.")
@click.option("--field-selector", default="", metavar="FIELDS", help="Objects that match a field selector.")
@flag("--all", help="All objects of the type in the namespace.")
@flag("-A", "--all-namespaces", help="With --all or a selector: in all namespaces.")
@click.option("--grace-period", type=int, default=-1, metavar="SECONDS", help="Time to stop in; -1 is the object's own.")
@flag("--force", help="Remove from the API at once, without waiting for the node.")
@flag("--now", help="The same as --grace-period=1.")
@flag("--wait", default=True, help="Wait until the objects are gone.")
@click.option("--timeout", type=Duration(), default=0.0, metavar="TIME", help="How long to wait (0: as long as it takes).")
@flag("--ignore-not-found", help="No error where an object does not exist.")
@click.option("--dry-run", type=click.Choice(["none", "client", "server"]), default="none", help="Say what would be deleted.")
@click.option("--cascade", default="background", hidden=True)
@click.option("-o", "--output", "form", type=click.Choice(["name"]), help="Print only names.")
@api_options
def delete(target: Target, what: tuple[str, ...], filenames: tuple[str, ...], recursive: bool, **flags: Any) -> None:  # noqa: ANN401
    target.run(lambda api: _delete(api, what, manifests.read(filenames, recursive=recursive) if filenames else [], flags))


async def _delete(api: Api, what: tuple[str, ...], files: list[manifests.Manifest], flags: dict[str, Any]) -> None:
    chosen = await _chosen(api, what, files, flags)
    missing: list[NotFound] = []
    body = _options(flags)
    if flags["force"]:
        click.echo(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. "
            "The resource may continue to run on the cluster indefinitely.",
            err=True,
        )
    going: list[tuple[Resource, Json]] = []
    for resource, namespace, name in chosen:
        path = resource.path(namespace, name)
        try:
            gone = await api.get(path) if flags["dry_run"] == "client" else await api.delete(path, body)
        except NotFound as error:
            if not flags["ignore_not_found"]:
                missing.append(error)
            continue
        if flags["form"]:
            click.echo(f"{resources.title(resource)}/{name}")
        else:
            click.echo(f'{resources.title(resource)} "{cell(name)}" {"force " if flags["force"] else ""}deleted{_SUFFIX[flags["dry_run"]]}')
        if flags["dry_run"] == "none" and gone.get("kind") != "Status" and (gone.get("metadata") or {}).get("deletionTimestamp"):
            going.append((resource, gone))
    if flags["wait"] and going:
        await _gone(api, going, flags["timeout"])
    for earlier in missing[:-1]:
        click.echo(block(explain(earlier)), err=True)
    if missing:
        raise missing[-1]
    if not chosen and not flags["ignore_not_found"]:
        click.echo("No resources found")


def _options(flags: dict[str, Any]) -> Json:
    grace = flags["grace_period"]
    if flags["now"]:
        if grace != -1:
            raise Failure("--now and --grace-period cannot be specified together")
        grace = 1
    if flags["force"]:
        if grace > 0:
            raise Failure("--force and --grace-period greater than 0 cannot be specified together")
        grace = 0
    if grace == 0 and not flags["force"]:
        # kubectl's rule: zero without --force means "as quick as is safe".
        grace = 1
    body: Json = {"propagationPolicy": "Background"}
    if flags["dry_run"] == "server":
        body["dryRun"] = ["All"]
    return body if grace < 0 else {**body, "gracePeriodSeconds": grace}


async def _chosen(
    api: Api, what: tuple[str, ...], files: list[manifests.Manifest], flags: dict[str, Any]
) -> list[tuple[Resource, str, str]]:
    """(resource, namespace, name) of each object that is meant."""
    if files:
        return [
            (resource, item.object.get("metadata", {}).get("namespace") or api.namespace, item.object.get("metadata", {}).get("name", ""))
            for item, resource in [(item, await resources.for_object(api, item.object)) for item in files]
        ]
    found: list[tuple[Resource, str, str]] = []
    for selection in await resources.select(api, what):
        resource = selection.resource
        if selection.names:
            if flags["all"] or flags["selector"]:
                raise Failure("setting 'all' parameter or a selector but found a non empty list of names")
            found += [(resource, api.namespace, name) for name in selection.names]
            continue
        if not (flags["all"] or flags["selector"] or flags["field_selector"]):
            raise Failure("resource(s) were provided, but no name was specified")
        query = [(key, value) for key, value in (("labelSelector", flags["selector"]), ("fieldSelector", flags["field_selector"])) if value]
        listing = await api.get(resource.path("" if flags["all_namespaces"] else api.namespace), query)
        found += [(resource, item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in listing.get("items") or []]
    return found


async def _gone(api: Api, going: list[tuple[Resource, Json]], timeout: float) -> None:
    last = going[0]
    try:
        async with asyncio.timeout(timeout or None):
            for last in going:
                await wait_gone(api, *last)
    except TimeoutError:
        resource, obj = last
        raise Failure(f"timed out waiting for the condition on {resources.plural(resource)}/{obj['metadata']['name']}") from None


async def wait_gone(api: Api, resource: Resource, obj: Json) -> None:
    """Until the object of this uid exists no more."""
    metadata = obj["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    query = [("fieldSelector", f"metadata.name={name}")]
    while True:
        listing = await api.get(resource.path(namespace), query)
        if not any(item["metadata"].get("uid") == metadata.get("uid") for item in listing.get("items") or []):
            return
        version = listing["metadata"].get("resourceVersion", "")
        with contextlib.suppress(Gone):
            async with contextlib.aclosing(api.watch(resource.path(namespace), [*query, ("resourceVersion", version)])) as events:
                async for event in events:
                    if event["type"] == "DELETED" and event["object"]["metadata"].get("uid") == metadata.get("uid"):
                        return
