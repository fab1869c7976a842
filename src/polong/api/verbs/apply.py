"""Server-side apply: a PATCH that says what the client wants of an object, and takes back what it no longer says.

Source: apiserver pkg/endpoints/handlers/patch.go (applyPatcher), Kubernetes docs "Server-Side Apply".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from polong.api import status
from polong.api.apply import managers
from polong.api.apply.managers import Applied, Managed, Managers
from polong.api.service import Response
from polong.api.verbs import answers, body, fieldmanagers
from polong.api.verbs.call import Call
from polong.api.verbs.create import create_object
from polong.api.verbs.update import ATTEMPTS, replace
from polong.kit.errors import AlreadyExists, BadRequest, Conflict, NotFound
from polong.objects import decode, yaml
from polong.objects.schema import type_of

Json = dict[str, Any]


async def apply(call: Call) -> Response:
    """201 where the object was not there. Conflict with causes where others manage what would change."""
    if not call.query.get("fieldManager"):
        raise fieldmanagers.refused(call, "FieldValueRequired", "Required value: is required for apply patch")
    config = _configuration(call)
    for attempt in range(ATTEMPTS):
        try:
            return await _once(call, config)
        except (Conflict, AlreadyExists, NotFound) as error:
            # Another writer came first, unless it is a conflict of managers or of the configuration's own resourceVersion.
            if error.causes or isinstance(error, NotFound) or "resourceVersion" in config["metadata"] or attempt == ATTEMPTS - 1:
                raise
            call.warnings.clear()
    raise AssertionError("unreachable")


def _configuration(call: Call) -> Json:
    """The body: an object of this kind, all fields known. BadRequest."""
    raw = body.raw(call)
    document = raw if isinstance(raw, dict) else decode.parse_json(raw) if raw.lstrip()[:1] == b"{" else yaml.load_one(raw)
    if not isinstance(document, dict):
        raise BadRequest("error decoding YAML: the body must be an object")
    for field, name in (("apiVersion", "apiVersion"), ("kind", "Kind")):
        if not document.get(field):
            raise BadRequest(f"Object '{name}' is missing in the applied configuration")
    resource, target = call.kind.resource, call.target
    before = len(call.warnings)
    config = body.checked(call, document)
    unknown = [text for text in call.warnings[before:] if text.startswith("unknown field")]
    if unknown:
        named = ".".join(("", *unknown[0].split('"')[1].split(".")))
        what = f"{target.namespace}/{target.name}; {resource.api_version}, Kind={resource.kind}"
        raise BadRequest(f"failed to create typed patch object ({what}): {named}: field not declared in schema")
    metadata = config["metadata"]
    if "managedFields" in metadata:
        raise BadRequest("metadata.managedFields must be nil")
    for field, wanted in (("name", target.name), ("namespace", target.namespace)):
        if metadata.setdefault(field, wanted) != wanted and wanted:
            raise BadRequest(f"the {field} of the object ({metadata[field]}) does not match the {field} on the URL ({wanted})")
    if not target.namespace:
        metadata.pop("namespace")
    return config


async def _once(call: Call, config: Json) -> Response:
    target, resource = call.target, call.kind.resource
    kind = type_of(resource.api_version, resource.kind)
    who, moment = fieldmanagers.identity(call, "Apply")
    applied = Applied(config, who, moment, call.flag("force"), _ignored(call, config))
    found = await call.store.find(call.kind, target.namespace, target.name)
    if found is None:
        return await _create(call, applied)
    live, revision = found
    if config["metadata"].get("resourceVersion", str(revision)) != str(revision):
        raise status.modified(resource, target.name)
    owners = managers.stored(live["metadata"].get("managedFields"))
    if not owners.by:
        before = managers.identity(managers.BEFORE, "Update", resource.api_version, "")
        managers.update(owners, managers.compare(managers.zero(kind), live, kind), before, Managed({}, resource.api_version, moment.time))
    new = managers.apply(owners, live, applied, kind)
    _follow_last_applied(new, live, applied)
    new["metadata"] = {**new["metadata"], "managedFields": managers.write(owners)}
    # Parts of the new object are the stored one's own.
    new = msgspec.json.decode(msgspec.json.encode(new))
    return answers.one(call, await replace(call, new, live, revision, applied=True))


async def _create(call: Call, applied: Applied) -> Response:
    if call.target.subresource:
        raise status.not_found(call.kind.resource, call.target.name)
    await call.authorize("create")
    metadata = applied.config["metadata"]
    if metadata.get("uid"):
        text = f"uid mismatch: the provided object specified uid {metadata['uid']}, and no existing object was found"
        raise status.conflict(call.kind.resource, call.target.name, text)
    if metadata.get("resourceVersion"):
        raise status.not_found(call.kind.resource, call.target.name)
    resource = call.kind.resource
    owners = Managers()
    empty: Json = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {}}
    managers.apply(owners, empty, applied, type_of(resource.api_version, resource.kind))
    new: Json = msgspec.json.decode(msgspec.json.encode(applied.config))
    if entries := managers.write(owners):
        new["metadata"]["managedFields"] = entries
    return await create_object(call, new, applied=True)


def _ignored(call: Call, config: Json) -> Sequence[str]:
    """Top-level fields that this door does not change, and that nobody comes to manage through it."""
    if call.target.subresource:
        return [name for name in config if name not in ("metadata", call.target.subresource)] if call.target.subresource == "status" else ()
    return ("status",) if any(one.name == "status" for one in call.kind.subresources) else ()


def _follow_last_applied(new: Json, live: Json, applied: Applied) -> None:
    """Keep client-side apply's annotation true where kubectl applies and the object has it: both ways of applying stay open."""
    annotations = live["metadata"].get("annotations") or {}
    if applied.who.manager == managers.KUBECTL and managers.LAST_APPLIED in annotations:
        text = msgspec.json.encode(applied.config).decode() + "\n"
        new["metadata"]["annotations"] = {**(new["metadata"].get("annotations") or {}), managers.LAST_APPLIED: text}
