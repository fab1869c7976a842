"""Words on the command line to REST resources: `po`, `pods/nginx`, `pods,nodes`, `Pod`, `deployments.apps`.

The kinds that every node serves are known without asking; any other word goes through the server's discovery, so that the same words
work against any Kubernetes server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from polong.cli.errors import Failure
from polong.kit.errors import NotFound
from polong.objects.gvk import CONFIG_MAPS, EVENTS, NAMESPACES, NODES, PODS, SECRETS, Resource

Json = dict[str, Any]

_KNOWN: dict[Resource, tuple[str, ...]] = {
    PODS: ("po",),
    NODES: ("no",),
    NAMESPACES: ("ns",),
    EVENTS: ("ev",),
    CONFIG_MAPS: ("cm",),
    SECRETS: (),
}
_WORDS = {
    word: resource for resource, short in _KNOWN.items() for word in (resource.plural, resource.plural[:-1], resource.kind.lower(), *short)
}


class Discovery(Protocol):
    async def get(self, path: str) -> Json:
        """A GET of JSON; `kit.errors`."""
        ...


@dataclass(frozen=True)
class Selection:
    """What a command is about: names (empty: all) of one resource."""

    resource: Resource
    names: tuple[str, ...] = ()


async def lookup(discovery: Discovery, word: str) -> Resource:
    """A resource by plural, singular, short name or kind, with `.group` or `.version.group` behind it. Failure in kubectl's words."""
    found = _WORDS.get(word.lower())
    if found is not None:
        return found
    name, _, group = word.lower().partition(".")
    for resource, words in await _discover(discovery):
        if name in words and (not group or group in {resource.group, f"{resource.version}.{resource.group}", resource.version}):
            return resource
    raise Failure(f'the server doesn\'t have a resource type "{word}"')


async def known(discovery: Discovery) -> list[Resource]:
    """All that the server serves and can list."""
    return await _chosen(discovery, lambda item: "list" in (item.get("verbs") or ()))


async def for_object(discovery: Discovery, obj: Json) -> Resource:
    """The resource of a manifest's apiVersion and kind. Failure in kubectl's words."""
    for resource in _KNOWN:
        if resource.kind == obj["kind"] and resource.api_version == obj["apiVersion"]:
            return resource
    group, _, version = obj["apiVersion"].rpartition("/")
    try:
        listing = await discovery.get(f"/apis/{group}/{version}" if group else f"/api/{version}")
    except NotFound:
        listing = {}
    for resource, _words in _entries(group, version, listing):
        if resource.kind == obj["kind"]:
            return resource
    raise Failure(
        f'no matches for kind "{obj["kind"]}" in version "{obj["apiVersion"]}"\nensure CRDs are installed first'
        if group
        else f'no matches for kind "{obj["kind"]}" in version "{obj["apiVersion"]}"'
    )


async def _discover(discovery: Discovery) -> list[tuple[Resource, frozenset[str]]]:
    return [entry for group, version, listing in await _listings(discovery) for entry in _entries(group, version, listing)]


async def _listings(discovery: Discovery) -> list[tuple[str, str, Json]]:
    """(group, its preferred version, its APIResourceList) of every group."""
    found = [("", "v1", await discovery.get("/api/v1"))]
    for group in (await discovery.get("/apis")).get("groups") or []:
        version = (group.get("preferredVersion") or (group.get("versions") or [{}])[0]).get("version", "")
        found.append((group.get("name", ""), version, await discovery.get(f"/apis/{group.get('name')}/{version}")))
    return found


async def _chosen(discovery: Discovery, wanted: Callable[[Json], bool]) -> list[Resource]:
    return [
        resource
        for group, version, listing in await _listings(discovery)
        for resource, _ in _entries(group, version, {"resources": [one for one in listing.get("resources") or [] if wanted(one)]})
    ]


def _entries(group: str, version: str, listing: Json) -> list[tuple[Resource, frozenset[str]]]:
    return [
        (
            Resource(
                item.get("group") or group, item.get("version") or version, item["name"], item.get("kind", ""), bool(item.get("namespaced"))
            ),
            frozenset({item["name"], item.get("singularName") or "", item.get("kind", "").lower(), *(item.get("shortNames") or [])} - {""}),
        )
        for item in listing.get("resources") or []
        if "/" not in item.get("name", "/")
    ]


async def select(discovery: Discovery, args: Sequence[str]) -> list[Selection]:
    """kubectl's resource arguments. `TYPE [NAME…]`, `TYPE/NAME…`, `TYPE,TYPE`."""
    if not args:
        raise Failure("you must specify the type of resource, such as pods; `polong get pods`")
    if any("/" in arg for arg in args):
        return await _slashed(discovery, args)
    words = [word for word in args[0].split(",") if word]
    names = tuple(args[1:])
    if len(words) > 1 and names:
        raise Failure("multiple resource types with names: use TYPE/NAME for each")
    return [Selection(resource, names) for word in words for resource in await _meant(discovery, word)]


async def _meant(discovery: Discovery, word: str) -> list[Resource]:
    """The resource of a word, or all of a category: `all` is what users make and look after."""
    if word.lower() != "all":
        return [await lookup(discovery, word)]
    return await _chosen(discovery, _in_all)


def _in_all(item: Json) -> bool:
    return "all" in (item.get("categories") or ())


async def _slashed(discovery: Discovery, args: Sequence[str]) -> list[Selection]:
    found = []
    for arg in args:
        word, slash, name = arg.partition("/")
        if not slash:
            raise Failure(
                "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form "
                f"(e.g. 'polong get resource/<resource_name>' instead of 'polong get resource resource/<resource_name>'): {arg!r}"
            )
        if not word or not name or "/" in name:
            raise Failure(f'arguments in resource/name form must have a single resource and name: "{arg}"')
        found.append(Selection(await lookup(discovery, word), (name,)))
    return found


def title(resource: Resource) -> str:
    """`pod`, `deployment.apps`: how kubectl names objects in messages."""
    return resource.kind.lower() + (f".{resource.group}" if resource.group else "")


def plural(resource: Resource) -> str:
    return resource.plural + (f".{resource.group}" if resource.group else "")
