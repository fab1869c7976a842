"""Which Pod and which container a command means: `POD`, `pod/POD`, -c, or kubectl's default with its note."""

from __future__ import annotations

from typing import Any

import click

from polong.cli.api import Api
from polong.cli.errors import Failure
from polong.cli.escape import cell
from polong.kit.errors import NotFound
from polong.objects.gvk import PODS

Json = dict[str, Any]

_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


def name_of(text: str) -> str:
    """`pod/nginx` and `nginx` are the same Pod."""
    kind, slash, name = text.partition("/")
    if not slash:
        return text
    if kind not in {"pod", "pods", "po"}:
        raise Failure(f"only Pods have containers: {text!r}")
    return name


async def find(api: Api, text: str) -> Json:
    """The Pod. NotFound with a near name where there is one."""
    name = name_of(text)
    try:
        return await api.get(PODS.path(api.namespace, name))
    except NotFound as error:
        import difflib

        listing = await api.get(PODS.path(api.namespace))
        near = difflib.get_close_matches(name, [item["metadata"]["name"] for item in listing.get("items") or []], n=1)
        if not near:
            raise
        raise NotFound(f"{error.message}; did you mean {cell(near[0])!r}?", reason=error.reason) from error


def containers(pod: Json) -> list[str]:
    """Names of all containers, in kubectl's order: regular, init, ephemeral."""
    spec = pod.get("spec") or {}
    return [item["name"] for field in ("containers", "initContainers", "ephemeralContainers") for item in spec.get(field) or []]


def spec_of(pod: Json, name: str) -> Json:
    spec = pod.get("spec") or {}
    found = [
        item for field in ("containers", "initContainers", "ephemeralContainers") for item in spec.get(field) or [] if item["name"] == name
    ]
    return found[0] if found else {}


def require(pod: Json, wanted: str) -> str:
    """A container of the Pod. Failure, with a near name where there is one."""
    names = containers(pod)
    if wanted not in names:
        import difflib

        near = difflib.get_close_matches(wanted, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise Failure(f"container {cell(wanted)} not found in pod {pod['metadata']['name']}; it has: {', '.join(names)}{hint}")
    return wanted


def choose(pod: Json, wanted: str | None, *, quiet: bool = False, debuggers: bool = True) -> str:
    """The container to work on. Failure where `wanted` is not in the Pod. Without `debuggers` those are no choice, unless named."""
    if wanted:
        return require(pod, wanted)
    names = containers(pod)
    if not debuggers:
        names = [each for each in names if each not in {item["name"] for item in pod["spec"].get("ephemeralContainers") or []}]
    default = (pod["metadata"].get("annotations") or {}).get(_DEFAULT_CONTAINER)
    if default in names:
        return str(default)
    if len(names) > 1 and not quiet:
        kinds = {
            item["name"]: kind
            for field, kind in (("initContainers", " (init)"), ("ephemeralContainers", " (ephem)"))
            for item in pod["spec"].get(field) or []
        }
        listed = ", ".join(name + kinds.get(name, "") for name in names)
        click.echo(f'Defaulted container "{names[0]}" out of: {listed}', err=True)
    return names[0]
