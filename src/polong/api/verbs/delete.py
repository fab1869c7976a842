"""delete and deletecollection: gracefully where the kind has a grace, through finalizers, with preconditions.

Source: apiserver pkg/registry/rest/delete.go (BeforeDelete), pkg/registry/core/pod/strategy.go.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from polong.api import status
from polong.api.service import Response
from polong.api.verbs import answers, body
from polong.api.verbs.call import Call
from polong.api.verbs.update import ATTEMPTS
from polong.kit.clock import rfc3339
from polong.kit.errors import Conflict, NotFound
from polong.objects import gvk

Json = dict[str, Any]


async def delete(call: Call) -> Response:
    options = body.delete_options(call)
    if why := call.kind.undeletable(call.target.name):
        raise status.forbidden(call.kind.resource, call.target.name, why)
    obj, gone = await delete_one(call, call.target.namespace, call.target.name, options)
    if gone and not call.kind.answers_deleted:
        return Response(200, status.deleted(call.kind.resource, call.target.name, obj["metadata"]["uid"]))
    return answers.one(call, obj)


async def deletecollection(call: Call) -> Response:
    """Each object that matches, as if deleted alone; answers with the list as it was found."""
    options, selection = body.delete_options(call), call.selection()
    page = await call.store.page(call.kind, call.target.namespace)
    chosen = [stored for stored in page.stored if selection.chooses(call.kind, stored)]
    for stored in chosen:
        metadata = stored.object()["metadata"]
        if call.kind.undeletable(metadata["name"]):
            continue
        try:
            await delete_one(call, metadata.get("namespace", ""), metadata["name"], options)
        except NotFound:
            continue
    return answers.many(call, chosen, {"resourceVersion": str(page.revision)})


async def delete_one(call: Call, namespace: str, name: str, options: Json) -> tuple[Json, bool]:
    """The object after this step, and whether it is gone."""
    pinned = bool((options.get("preconditions") or {}).get("resourceVersion"))
    for attempt in range(ATTEMPTS):
        old, revision = await call.store.get(call.kind, namespace, name)
        _check_preconditions(call, old, options)
        marked = _mark(call, old, options)
        try:
            if marked is None:
                return (old, True) if options.get("dryRun") else (await call.store.delete(call.kind, old, revision), True)
            if marked is old or options.get("dryRun"):
                return marked, False
            return await call.store.update(call.kind, marked, revision), False
        except Conflict:
            if pinned or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _check_preconditions(call: Call, obj: Json, options: Json) -> None:
    wanted = options.get("preconditions") or {}
    for field, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        found = obj["metadata"].get(field, "")
        if wanted.get(field) and wanted[field] != found:
            text = f"Precondition failed: {label} in precondition: {wanted[field]}, {label} in object meta: {found}"
            raise status.conflict(call.kind.resource, obj["metadata"]["name"], text)


def _mark(call: Call, old: Json, options: Json) -> Json | None:
    """The object marked as being deleted; `old` itself where nothing changes; None where it goes at once."""
    metadata = old["metadata"]
    asked = options.get("gracePeriodSeconds")
    grace = max(call.kind.grace_seconds(old, asked), 0)
    waits = bool(metadata.get("finalizers") or (old.get("spec") or {}).get("finalizers"))
    if metadata.get("deletionTimestamp"):
        before = int(metadata.get("deletionGracePeriodSeconds") or 0)
        if asked is None or grace >= before:
            # Asked again without a shorter grace: what runs goes on. Without any grace nobody but finalizers is waited for.
            return old if before or waits else None
    if not grace and not waits:
        return None
    marked = {**old, "metadata": dict(metadata)}
    marked["metadata"]["deletionTimestamp"] = rfc3339(call.now + timedelta(seconds=grace))
    marked["metadata"]["deletionGracePeriodSeconds"] = grace
    if call.kind.has_generation:
        marked["metadata"]["generation"] = int(metadata.get("generation", 0)) + 1
    if call.kind.resource == gvk.NAMESPACES:
        marked["status"] = {**(old.get("status") or {}), "phase": "Terminating"}
    return marked
