"""create: decode, name, default, admit, validate, store."""

from __future__ import annotations

from typing import Any

from polong.api import status
from polong.api.admission.chain import Attempt
from polong.api.service import Response
from polong.api.verbs import answers, body, fieldmanagers
from polong.api.verbs.call import Call
from polong.kit import ids
from polong.kit.errors import AlreadyExists, BadRequest

Json = dict[str, Any]

_NAME_BASE = 63 - 5
_ATTEMPTS = 8


async def create(call: Call) -> Response:
    return await create_object(call, body.read_object(call))


async def create_object(call: Call, obj: Json, *, applied: bool = False) -> Response:
    """The answer to a creation; an `applied` object has its managedFields already."""
    metadata = obj["metadata"]
    _place(call, metadata)
    for field in ("resourceVersion", "uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if field == "resourceVersion" and metadata.get(field):
            raise BadRequest("resourceVersion should not be set on objects to be created")
        metadata.pop(field, None)
    generated = not metadata.get("name") and bool(metadata.get("generateName"))
    context = call.context()
    admitted = call.attempt(obj, context)
    for attempt in range(_ATTEMPTS):
        if generated:
            metadata["name"] = metadata["generateName"][:_NAME_BASE] + ids.name_suffix()
        call.kind.default(obj, context)
        if not attempt:
            if not applied:
                fieldmanagers.track(call, obj, None)
            await call.admission.mutate(admitted)
            call.kind.prepare_create(obj, context)
        if causes := call.kind.validate(obj):
            raise status.invalid(call.kind.resource, metadata.get("name", ""), causes)
        if not attempt:
            context.warnings.extend(call.kind.warnings(obj))
        metadata |= {"uid": ids.uid(), "creationTimestamp": context.now}
        if call.kind.has_generation:
            metadata["generation"] = 1
        await call.admission.validate(admitted)
        try:
            return await _store(call, admitted)
        except AlreadyExists:
            if not generated or attempt == _ATTEMPTS - 1:
                raise
            metadata.pop("uid")
    raise AssertionError("unreachable")


async def _store(call: Call, admitted: Attempt) -> Response:
    obj = admitted.obj
    if call.dry_run:
        if await call.store.find(call.kind, call.target.namespace, obj["metadata"]["name"]) is not None:
            raise status.already_exists(call.kind.resource, obj["metadata"]["name"])
        return answers.one(call, obj, 201)
    async with call.admission.storing(admitted):
        stored = await call.store.create(call.kind, obj)
    return answers.one(call, stored, 201)


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
