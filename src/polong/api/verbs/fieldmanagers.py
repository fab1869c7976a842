"""Field managers at the verbs: who writes, and what a write does to metadata.managedFields."""

from __future__ import annotations

from typing import Any

from polong.api.apply import managers
from polong.api.apply.managers import Identity, Managed, Managers
from polong.api.verbs.call import Call
from polong.kit.clock import rfc3339
from polong.kit.errors import Cause, Invalid
from polong.objects.schema import type_of

Json = dict[str, Any]

_MAX_NAME = 128


def manager_name(call: Call) -> str:
    """The query's fieldManager, else the product of the User-Agent. 422 for one that is too long or not printable."""
    given = call.query.get("fieldManager", "")
    if len(given) > _MAX_NAME:
        raise refused(call, "FieldValueTooLong", f"Too long: may not be more than {_MAX_NAME} bytes")
    if not given.isprintable():
        raise refused(call, "FieldValueInvalid", f"Invalid value: {given!a}: should only contain printable characters")
    agent = call.request.headers.get("user-agent", "").partition("/")[0]
    return given or "".join(letter for letter in agent if letter.isprintable())[:_MAX_NAME] or "unknown"


def refused(call: Call, reason: str, message: str, *, field: str = "fieldManager") -> Invalid:
    """What is wrong with the options of a write."""
    kind = {"create": "CreateOptions", "update": "UpdateOptions"}.get(call.verb, "PatchOptions")
    cause = Cause(reason, message, field)
    return Invalid(f'{kind}.meta.k8s.io "" is invalid: {field}: {message}', causes=(cause,))


def identity(call: Call, operation: str) -> tuple[Identity, Managed]:
    """Who writes, and the version and time that their fields would have."""
    version = call.kind.resource.api_version
    who = managers.identity(manager_name(call), operation, version, call.target.subresource)
    return who, Managed({}, version, rfc3339(call.now))


def track(call: Call, new: Json, old: Json | None) -> None:
    """Put into `new`, which has its defaults, who manages its fields after this update or creation (`old` None)."""
    metadata = new["metadata"]
    given = metadata.pop("managedFields", None)
    live = old["metadata"].get("managedFields") if old is not None else None
    if call.target.subresource or given == live:
        given = None
    if given is not None and managers.is_reset(given):
        live, found = None, Managers()
    else:
        found = (managers.given(given) if given is not None else None) or Managers()
        if not found.by:
            given, found = None, managers.stored(live)
    if old is not None and not found.by:
        # Whose managers were forgotten is not followed again before somebody applies to it.
        return
    kind = type_of(call.kind.resource.api_version, call.kind.resource.kind)
    changes = managers.compare(managers.zero(kind) if old is None else old, new, kind)
    if given is None and not changes:
        if live:
            metadata["managedFields"] = live
        return
    who, moment = identity(call, "Update")
    managers.update(found, changes, who, moment)
    if entries := managers.write(found):
        metadata["managedFields"] = entries
