"""What Tab offers: names of Pods, containers, namespaces, kinds and objects, PIDs, ports, formats. Imported only while a shell asks.

A question to the server is short and silent: where no node answers, nothing is offered, and nothing is printed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from polong.cli import pods
from polong.cli.api import Api, Query
from polong.cli.escape import cell
from polong.cli.flags import API_NAMES
from polong.cli.processes import GROUP, path_of
from polong.kit import signals
from polong.objects.gvk import NAMESPACES, PODS, Resource

T = TypeVar("T")
Json = dict[str, Any]
Offer = Callable[[click.Context, str], "list[CompletionItem]"]

# Longer than a node on this machine ever takes, and short enough for somebody who waits for a key to do something.
_PATIENCE = "2s"
_NAMES = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
_SHOWN = 60


def attach(command: click.Command) -> None:
    """Give the parameters of a command, and of those below it, what they offer, by their names."""
    for param in command.params:
        offer = _of(command.name or "", param)
        if offer is not None:
            param.shell_complete = _guarded(offer)  # type: ignore[method-assign, assignment]
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        attach(each)


def _of(command: str, param: click.Parameter) -> Offer | None:
    name = param.name or ""
    if isinstance(param.type, click.Choice):
        return None
    if isinstance(param, click.Option):
        if name == "form":
            return lambda _, text: _starting(_formats(param.help or ""), text)
        return _OPTIONS.get(name)
    return _ARGUMENTS.get((command, name)) or _ARGUMENTS.get(("", name))


def _guarded(offer: Offer) -> Offer:
    """A shell that asks for words gets words, or none: no error is of use to it."""

    def complete(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        try:
            return offer(ctx, incomplete)
        except Exception:
            if os.environ.get("POLONG_DEBUG"):
                raise
            return []

    return complete


# --- what is asked of the server ------------------------------------------------------------------------------------------------------


def _ask(ctx: click.Context, path: Callable[[str], str], accept: str | None = None, query: Query = ()) -> Json:
    """The answer to a GET of `path`, which gets the namespace that the command line names."""
    from polong.cli.target import Target

    found: dict[str, Any] = {}
    above: click.Context | None = ctx
    while above is not None:
        for name in API_NAMES:
            found[name] = found.get(name) or above.params.get(name)
        above = above.parent
    target = Target(**{**found, "request_timeout": _PATIENCE})

    async def get(api: Api) -> Json:
        return await api.get(path(api.namespace), query, accept=accept)

    return target.ask(get)


def _listed(ctx: click.Context, resource: Resource) -> list[str]:
    listing = _ask(ctx, lambda namespace: resource.path(namespace), _NAMES)
    return [item["metadata"]["name"] for item in listing.get("items") or ()]


def _pod(ctx: click.Context) -> Json:
    """The Pod that the command line names already."""
    return _ask(ctx, lambda namespace: PODS.path(namespace, _pod_name(ctx)))


def _pod_name(ctx: click.Context) -> str:
    """Where an option still lacks its value, click has left the arguments as they were."""
    given = [ctx.params.get("pod"), *(ctx.params.get("args") or ()), *ctx.args]
    return pods.name_of(next(word for word in given if word))


def _starting(words: Sequence[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(cell(word)) for word in words if word.startswith(incomplete)]


# --- offers ---------------------------------------------------------------------------------------------------------------------------


def _pods(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return _starting(_listed(ctx, PODS), incomplete)


def _more_pods(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    given = ctx.params.get("names") or ()
    return _starting([name for name in _listed(ctx, PODS) if name not in given], incomplete)


def _containers(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return _starting(pods.containers(_pod(ctx)), incomplete)


def _pods_and_containers(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """`logs POD [CONTAINER]`."""
    given = ctx.params.get("args") or ()
    return _pods(ctx, incomplete) if not given else _containers(ctx, incomplete) if len(given) == 1 else []


def _namespaces(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return _starting(_listed(ctx, NAMESPACES), incomplete)


def _contexts(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    from polong.cli.target import Target
    from polong.client import kubeconfig

    files = Target(kubeconfig=ctx.params.get("kubeconfig"), root=ctx.params.get("root")).files()
    return _starting(kubeconfig.contexts(files), incomplete)


def _processes(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    listing = _ask(ctx, lambda namespace: path_of(namespace, _pod_name(ctx), "processes"))
    container = ctx.params.get("container") or ctx.params.get("goal")
    items = [each for each in listing["items"] if not container or each["container"] == container]
    items.sort(key=lambda each: each["pid"])
    return [
        CompletionItem(str(each["pid"]), help=cell(" ".join(each["command"]) or each["name"])[:_SHOWN])
        for each in items
        if str(each["pid"]).startswith(incomplete)
    ]


def _ports(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    spec = _pod(ctx)["spec"]
    return _starting([str(port["containerPort"]) for each in spec["containers"] for port in each.get("ports") or ()], incomplete)


def _paths(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Of the container's files, directory by directory. A shell breaks words at colons: `cp` is left to its user."""
    if ctx.params.get("operation") == "cp":
        return []
    place, slash, _ = incomplete.rpartition("/")
    query = [("op", "list"), ("path", f"{place}/" if slash else "/"), ("container", ctx.params.get("container") or "")]
    listing = _ask(ctx, lambda namespace: path_of(namespace, _pod_name(ctx), "files"), query=query)
    lead = place + slash or "/"
    entries = [lead + each["name"] + ("/" if each["type"] == "directory" else "") for each in listing.get("items") or ()]
    return _starting(entries, incomplete or "/")


def _signals(_ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return _starting(signals.names(), incomplete.upper())


def _formats(text: str) -> list[str]:
    """Of the help of -o, which names them: `One of json|yaml|jsonpath=.`"""
    return text.rpartition("ne of ")[2].removesuffix(".").split("|")


def _images(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    listing = _ask(ctx, lambda _: f"{GROUP}/images")
    return _starting([name for item in listing.get("items") or () for name in item.get("repoTags") or ()], incomplete)


def _objects(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """`TYPE NAME…` and `TYPE/NAME…`; what of labels follows is nobody's to guess."""
    given = [word for word in ctx.params.get("what") or ctx.params.get("args") or () if "=" not in word]
    kind, slash, _ = incomplete.partition("/")
    if slash or (given and "/" in given[0]):
        names = _named(ctx, kind) if slash else []
        return _starting([f"{kind}/{name}" for name in names], incomplete)
    if given:
        return _starting([name for name in _named(ctx, given[0].split(",")[0]) if name not in given[1:]], incomplete)
    return _starting(_kinds(ctx), incomplete)


def _kinds(ctx: click.Context) -> list[str]:
    from polong.cli import resources

    found = {resources.plural(each) for each in _discovered(ctx, resources.known)}
    return sorted(found)


def _named(ctx: click.Context, word: str) -> list[str]:
    from polong.cli import resources

    return _listed(ctx, _discovered(ctx, lambda discovery: resources.lookup(discovery, word)))


def _discovered(ctx: click.Context, look: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    from polong.client.direct import drive

    class Discovery:
        async def get(self, path: str) -> Json:
            return _ask(ctx, lambda _: path)

    return drive(look(Discovery()))


def _files(_ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]


def _directories(_ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="dir")]


_OPTIONS: dict[str, Offer] = {
    "container": _containers,
    "goal": _containers,
    "source": _containers,
    "namespace": _namespaces,
    "context": _contexts,
    "pid": _processes,
    "kubeconfig": _files,
    "filenames": _files,
    "file": _files,
    "root": _directories,
}
# By (command, name of the argument), or by its name in every command.
_ARGUMENTS: dict[tuple[str, str], Offer] = {
    ("", "pod"): _pods,
    ("", "what"): _objects,
    ("", "file"): _files,
    ("audit", "names"): _more_pods,
    ("logs", "args"): _pods_and_containers,
    ("files", "paths"): _paths,
    ("label", "args"): _objects,
    ("annotate", "args"): _objects,
    ("signal", "name"): _signals,
    ("port-forward", "ports"): _ports,
    ("import", "files"): _files,
    ("export", "names"): _images,
    ("rm", "names"): _images,
}
