"""`apply`: client-side apply as kubectl does it, with the last-applied annotation and a three-way patch; or server-side."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import click

from polong.cli import manifests, output, resources
from polong.cli.api import MERGE, STRATEGIC, Api
from polong.cli.errors import Failure, FromServer
from polong.cli.flags import api_options, command, flag, optional
from polong.cli.manifests import Manifest, filename_options
from polong.cli.target import Target
from polong.client.transport import Call
from polong.kit.errors import Conflict, NotFound, PolongError
from polong.objects.gvk import Resource

Json = dict[str, Any]

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
_CONFLICT_RETRIES = 5

_EXAMPLES = """
polong apply -f pod.yaml
polong apply -f https://k8s.io/examples/pods/share-process-namespace.yaml
cat pod.yaml | polong apply -f -
polong apply -R -f manifests/ --dry-run=server
"""


@dataclass(frozen=True)
class Writing:
    """How objects are sent, for `apply` and `create`. `dry_run` is none, client or server."""

    field_manager: str
    dry_run: str = "none"
    validate: str = "strict"
    form: output.Format = field(default_factory=output.Format)

    def query(self) -> list[tuple[str, str]]:
        level = {"strict": "Strict", "true": "Strict", "warn": "Warn", "ignore": "Ignore", "false": "Ignore"}[self.validate]
        pairs = [("fieldManager", self.field_manager), ("fieldValidation", level)]
        return [("dryRun", "All"), *pairs] if self.dry_run == "server" else pairs

    @property
    def suffix(self) -> str:
        return {"client": " (dry run)", "server": " (server dry run)"}.get(self.dry_run, "")

    def say(self, resource: Resource, obj: Json, done: str) -> None:
        name = f"{resources.title(resource)}/{obj.get('metadata', {}).get('name', '')}"
        if self.form.kind in {"", "wide"}:
            click.echo(f"{name} {done}{self.suffix}")
        elif self.form.kind == "name":
            click.echo(name)
        else:
            output.emit(output.document(output.without_managed_fields(obj), self.form))


def writing_options(function: Any) -> Any:  # noqa: ANN401 - a decorator of a click callback
    dry = optional(
        "--dry-run",
        bare="client",
        default="none",
        choices=("none", "client", "server"),
        help="Do not store: check here (client) or there (server).",
    )
    check = optional(
        "--validate",
        bare="strict",
        default="strict",
        choices=("strict", "warn", "ignore", "true", "false"),
        help="What unknown and duplicate fields mean.",
    )
    form = click.option("-o", "--output", "form", metavar="FORMAT", help="One of name|json|yaml|jsonpath=.")
    return dry(check(form(function)))


@command("apply", help="Create or change objects from files, directories, URLs or standard input.", examples=_EXAMPLES)
@filename_options
@writing_options
@flag("--server-side", help="Let the server merge.")
@flag("--force-conflicts", help="With --server-side: take fields over from other managers.")
@click.option("--field-manager", default="", metavar="NAME", help="Name under which fields are owned.")
@flag("--overwrite", default=True, help="Resolve conflicts in favour of the files.")
@api_options
def apply(target: Target, filenames: tuple[str, ...], recursive: bool, dry_run: str, validate: str, **flags: Any) -> None:  # noqa: ANN401
    if not filenames:
        raise Failure("must specify -f: a file, a directory, a URL or -")
    server = flags["server_side"]
    manager = flags["field_manager"] or ("kubectl" if server else "kubectl-client-side-apply")
    writing = Writing(manager, dry_run, validate, output.parse(flags["form"]))
    found = manifests.read(filenames, recursive=recursive)
    force = flags["force_conflicts"]
    target.ask(lambda api: each(api, found, lambda item: _server_side(api, item, writing, force) if server else _apply(api, item, writing)))


async def each(api: Api, found: list[Manifest], one: Any) -> None:  # noqa: ANN401 - a coroutine function
    """All of them, whatever becomes of one; the last error decides the exit code."""
    from polong.cli.errors import explain
    from polong.cli.escape import block

    failures: list[Exception] = []
    for item in found:
        try:
            await one(item)
        except (PolongError, FromServer, Failure) as error:
            failures.append(error)
    for earlier in failures[:-1]:
        click.echo(block(explain(earlier) if not isinstance(earlier, Failure) else f"error: {earlier.message}"), err=True)
    if failures:
        raise failures[-1]


async def place(api: Api, item: Manifest, given: str | None = None) -> tuple[Resource, Json, str]:
    """The resource, the object with its namespace filled in, and that namespace."""
    resource = await resources.for_object(api, item.object)
    metadata = item.object.get("metadata") or {}
    namespace = ""
    if resource.namespaced:
        namespace = metadata.get("namespace") or api.namespace
        given = given if given is not None else click.get_current_context().params.get("namespace")
        if given and metadata.get("namespace") not in (None, given):
            raise Failure(
                f'the namespace from the provided object "{metadata["namespace"]}" does not match the namespace "{given}". '
                f"You must pass '--namespace={metadata['namespace']}' to perform this operation."
            )
        metadata = {**metadata, "namespace": namespace}
    return resource, {**item.object, "metadata": metadata}, namespace


def annotated(obj: Json) -> Json:
    """`obj` with what was applied noted on it, as kubectl writes it."""
    metadata = obj.get("metadata") or {}
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != ANNOTATION}
    bare = {**obj, "metadata": {**metadata, "annotations": annotations}}
    noted = json.dumps(bare, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n"
    return {**obj, "metadata": {**metadata, "annotations": {**annotations, ANNOTATION: noted}}}


async def _apply(api: Api, item: Manifest, writing: Writing) -> None:
    resource, obj, namespace = await place(api, item)
    name = (obj.get("metadata") or {}).get("name")
    if not name:
        raise Failure(f'error when retrieving current configuration of "{item.source}": resource name may not be empty')
    modified = annotated(obj)
    for attempt in range(_CONFLICT_RETRIES):
        try:
            current = await api.get(resource.path(namespace, name))
        except NotFound:
            await _create(api, item, resource, modified, writing)
            return
        try:
            await _change(api, item, (resource, namespace, name), (current, modified), writing)
            return
        except FromServer as error:
            if not isinstance(error.error, Conflict) or attempt == _CONFLICT_RETRIES - 1:
                raise


async def _create(api: Api, item: Manifest, resource: Resource, obj: Json, writing: Writing) -> None:
    if writing.dry_run == "client":
        made = obj
    else:
        try:
            made = await api.post(resource.path(obj["metadata"].get("namespace", "")), obj, writing.query())
        except PolongError as error:
            raise FromServer(error, f'error when creating "{item.source}"') from error
    writing.say(resource, made, "created")


async def _change(api: Api, item: Manifest, where: tuple[Resource, str, str], states: tuple[Json, Json], writing: Writing) -> None:
    resource, namespace, name = where
    current, modified = states
    noted = ((current.get("metadata") or {}).get("annotations") or {}).get(ANNOTATION)
    if noted is None:
        click.echo(
            f"Warning: resource {resources.plural(resource)}/{name} is missing the {ANNOTATION} annotation "
            "which is required by polong apply. The missing annotation will be patched automatically.",
            err=True,
        )
    try:
        patch, kind = three_way(_decode(noted), modified, current)
    except PolongError as error:
        raise Failure(f'cannot compare "{item.source}" with what is there: {error.message}') from error
    if not patch:
        writing.say(resource, current, "unchanged")
        return
    if writing.dry_run == "client":
        writing.say(resource, current, "configured")
        return
    try:
        changed = await api.patch(resource.path(namespace, name), patch, writing.query(), kind=kind)
    except PolongError as error:
        raise FromServer(error, f'error when applying patch from "{item.source}"') from error
    same = changed.get("metadata", {}).get("resourceVersion") == current.get("metadata", {}).get("resourceVersion")
    writing.say(resource, changed, "unchanged" if same and writing.dry_run == "none" else "configured")


def _decode(noted: str | None) -> Json:
    try:
        found = json.loads(noted) if noted else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def three_way(original: Json, modified: Json, current: Json) -> tuple[Json, str]:
    """The patch from `current` to `modified` that also deletes what `original` had; strategic where the schema knows the kind."""
    from polong.objects import strategic_merge
    from polong.objects.schema import type_of

    known = type_of(modified["apiVersion"], modified["kind"])
    if known is not None:
        return strategic_merge.three_way(original, modified, current, known), STRATEGIC
    return merge_three_way(original, modified, current), MERGE


def merge_three_way(original: Json, modified: Json, current: Json) -> Json:
    """RFC 7386, for kinds without merge keys."""
    patch: Json = {}
    for key, value in modified.items():
        if isinstance(value, dict) and isinstance(current.get(key), dict):
            before = original.get(key)
            inner = merge_three_way(before if isinstance(before, dict) else {}, value, current[key])
            if inner:
                patch[key] = inner
        elif current.get(key) != value or key not in current:
            patch[key] = value
    patch.update({key: None for key in original if key not in modified and key in current})
    return patch


async def _server_side(api: Api, item: Manifest, writing: Writing, force: bool) -> None:
    resource, obj, namespace = await place(api, item)
    name = (obj.get("metadata") or {}).get("name", "")
    query = [*writing.query(), ("force", "true" if force else "false")]
    call = Call("PATCH", resource.path(namespace, name), query, body=obj, content_type="application/apply-patch+yaml")
    try:
        async with await api.raw(call) as answer:
            changed = await answer.json()
    except PolongError as error:
        raise FromServer(error, f'error when applying "{item.source}"') from error
    writing.say(resource, changed, "serverside-applied")
