"""Lists of processes for `ps`, `tree` and `top`: of one Pod, or of many; as tables by each, as documents here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import click

from polong.cli import output, pods
from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.flags import flag, option
from polong.kit.errors import NotFound
from polong.objects.gvk import PODS

Json = dict[str, Any]
F = TypeVar("F", bound=Callable[..., Any])

GROUP = "/apis/polong.dev/v1alpha1"


def path_of(namespace: str, pod: str, subresource: str) -> str:
    return f"{GROUP}/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe='')}/{subresource}"


class Wanted(NamedTuple):
    """Which Pods (one by name, else those of a namespace, or of `everywhere`, that the selector matches) and what of their processes."""

    pod: str = ""
    everywhere: bool = False
    selector: str = ""
    container: str = ""
    form: output.Format = output.Format()
    headers: bool = True

    @property
    def full(self) -> bool:
        """All but the plain table may show what is costly to read."""
        return bool(self.form.kind)

    def checked(self) -> Wanted:
        if self.pod and (self.everywhere or self.selector):
            raise Failure("name one pod, or choose several by -A and -l, not both")
        if self.form.kind == "name":
            raise Failure("processes have no -o name: use wide, json, yaml, jsonpath= or custom-columns=")
        return self


def choice(function: F) -> F:
    """The flags that make a `Wanted`; the function gets them as `wanted`."""
    for each in (
        flag("--no-headers", help="No heading line."),
        option("-o", "--output", "form", metavar="FORMAT", help="One of wide|json|yaml|jsonpath=|custom-columns=."),
        option("-c", "--container", default="", metavar="NAME", help="Only processes of one container."),
        option("-l", "--selector", default="", metavar="LABELS", help="Pods with these labels, such as app=web."),
        flag("-A", "--all-namespaces", help="Pods of all namespaces."),
        click.argument("pod", default=""),
    ):
        function = each(function)
    return function


def wanted(flags: dict[str, Any]) -> Wanted:
    return Wanted(
        flags["pod"],
        flags["all_namespaces"],
        flags["selector"],
        flags["container"],
        output.parse(flags["form"]),
        not flags["no_headers"],
    ).checked()


async def fetch(api: Api, wish: Wanted) -> list[Json]:
    """ProcessLists, in the order of the Pods."""
    query = [("full", "true")] if wish.full else []
    if wish.pod:
        listings = [await _of_pod(api, wish, query)]
    else:
        selector = [("labelSelector", wish.selector)] if wish.selector else []
        listed = await api.get(PODS.path("" if wish.everywhere else api.namespace), selector)
        listings = []
        for pod in listed.get("items") or ():
            try:
                listings.append(await api.get(path_of(pod["metadata"]["namespace"], pod["metadata"]["name"], "processes"), query))
            except NotFound:
                continue
    return [_of_container(each, wish.container) for each in listings]


async def _of_pod(api: Api, wish: Wanted, query: list[tuple[str, str]]) -> Json:
    """One request, unless a name turns out to be wrong: then the Pod itself is asked what was meant."""
    try:
        listing = await api.get(path_of(api.namespace, pods.name_of(wish.pod), "processes"), query)
    except NotFound:
        await pods.find(api, wish.pod)
        raise
    if wish.container and all(item.get("container") != wish.container for item in listing.get("items") or ()):
        pods.choose(await pods.find(api, wish.pod), wish.container)
    return listing


def _of_container(listing: Json, container: str) -> Json:
    if not container:
        return listing
    return {**listing, "items": [item for item in listing.get("items") or () if item.get("container") == container]}


def items_of(listings: Sequence[Json]) -> list[Json]:
    """All items, each with the name and namespace of its Pod."""
    found = []
    for listing in listings:
        metadata = listing.get("metadata") or {}
        place = {"pod": metadata.get("name", ""), "namespace": metadata.get("namespace", "")}
        found += [{**item, **place} for item in listing.get("items") or ()]
    return found


def place_columns(wish: Wanted) -> tuple[str, ...]:
    """What stands before the other columns where there are several Pods: names of columns, which in lower case are keys of items."""
    if wish.pod:
        return ()
    return ("NAMESPACE", "POD") if wish.everywhere else ("POD",)


def document(listings: Sequence[Json], wish: Wanted) -> str:
    """Every format but tables. One Pod: its ProcessList; several: a List of them; columns: one line a process."""
    if wish.form.kind == "custom-columns":
        return "\n".join(output.custom_columns(wish.form.template, items_of(listings), headers=wish.headers)) + "\n"
    return output.document(listings[0] if wish.pod else output.as_list(listings), wish.form)


def plain(wish: Wanted) -> Wanted:
    """The same without what is costly."""
    return wish._replace(form=output.Format())
