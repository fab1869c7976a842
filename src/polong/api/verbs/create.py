"""create: decode, name, default, validate, store."""

from __future__ import annotations

from typing import Any

from polong.api import status
from polong.api.resources.namespaces import Namespaces
from polong.api.service import Response
from polong.api.verbs import answers, body
from polong.api.verbs.call import Call
from polong.kit import ids
from polong.kit.errors import AlreadyExists, BadRequest, Cause
from polong.objects import gvk

Json = dict[str, Any]

_NAME_BASE = 63 - 5
_ATTEMPTS = 8


async def create(call: Call) -> Response:
    obj = body.read_object(call)
    metadata = obj["metadata"]
    _place(call, metadata)
    for field in ("resourceVersion", "uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if field == "resourceVersion" and metadata.get(field):
            raise BadRequest("resourceVersion should not be set on objects to be created")
        metadata.pop(field, None)
    generated = not metadata.get("name") and bool(metadata.get("generateName"))
    context = call.context()
    for attempt in range(_ATTEMPTS):
        if generated:
            metadata["name"] = metadata["generateName"][:_NAME_BASE] + ids.name_suffix()
        call.kind.default(obj, context)
        if not attempt:
            call.kind.prepare_create(obj, context)
        if causes := call.kind.validate(obj):
            raise status.invalid(call.kind.resource, metadata.get("name", ""), causes)
        metadata |= {"uid": ids.uid(), "creationTimestamp": context.now}
        if call.kind.has_generation:
            metadata["generation"] = 1
        await _admit(call)
        try:
            return await _store(call, obj)
        except AlreadyExists:
            if not generated or attempt == _ATTEMPTS - 1:
                raise
            metadata.pop("uid")
    raise AssertionError("unreachable")


async def _store(call: Call, obj: Json) -> Response:
    if call.dry_run:
        if await call.store.find(call.kind, call.target.namespace, obj["metadata"]["name"]) is not None:
            raise status.already_exists(call.kind.resource, obj["metadata"]["name"])
        return answers.one(call, obj, 201)
    return answers.one(call, await call.store.create(call.kind, obj), 201)


def _place(call: Call, metadata: Json) -> None:
    """The namespace is the path's; the body may only repeat it."""
    resource, namespace = call.kind.resource, call.target.namespace
    given = metadata.get("namespace", "")
    if not resource.namespaced:
        metadata.pop("namespace", None)
        return
    if not namespace:
        raise BadRequest("an empty namespace may not be set during creation")
    if given and given != namespace:
        raise BadRequest(
            f"the namespace of the provided object does not match the namespace sent on the request ({given} is not {namespace})"
        )
    metadata["namespace"] = namespace


async def _admit(call: Call) -> None:
    """NamespaceLifecycle: nothing is created in a namespace that is not there, or is going."""
    if not call.kind.resource.namespaced:
        return
    name = call.target.namespace
    found = await call.store.find(_NAMESPACES, "", name)
    if found is None:
        raise status.not_found(gvk.NAMESPACES, name)
    if found[0]["metadata"].get("deletionTimestamp"):
        text = f"unable to create new content in namespace {name} because it is being terminated"
        cause = Cause("NamespaceTerminating", f"namespace {name} is being terminated", "metadata.namespace")
        raise status.forbidden(call.kind.resource, "", text, causes=(cause,))


_NAMESPACES = Namespaces()
