"""The API's answers that are no objects, and errors about one object in Kubernetes' words. Codes: `objects/status.py`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from polong.kit import errors
from polong.kit.errors import Cause
from polong.objects.gvk import Resource
from polong.objects.status import failure, status

__all__ = [
    "already_exists",
    "conflict",
    "deleted",
    "failure",
    "forbidden",
    "invalid",
    "method_not_allowed",
    "modified",
    "no_such_path",
    "not_found",
    "qualified",
    "status",
    "unsupported_media",
]

Json = dict[str, Any]


def deleted(resource: Resource, name: str, uid: str) -> Json:
    """What DELETE answers for kinds that do not answer with the object."""
    details: Json = {"name": name, "kind": resource.plural, "uid": uid}
    if resource.group:
        details["group"] = resource.group
    return status("Success", 200, details=details)


# --- errors about one object, in Kubernetes' words -------------------------------------------------------------------------------


def _details(resource: Resource, name: str, *, kind: str = "") -> dict[str, str | int]:
    details: dict[str, str | int] = {"name": name, "kind": kind or resource.plural}
    if resource.group:
        details["group"] = resource.group
    return details


def qualified(resource: Resource) -> str:
    """`pods`, `events.events.k8s.io`: how messages name a resource."""
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def not_found(resource: Resource, name: str) -> errors.NotFound:
    return errors.NotFound(f'{qualified(resource)} "{name}" not found', details=_details(resource, name))


def already_exists(resource: Resource, name: str) -> errors.AlreadyExists:
    return errors.AlreadyExists(f'{qualified(resource)} "{name}" already exists', details=_details(resource, name))


def modified(resource: Resource, name: str) -> errors.Conflict:
    text = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, text)


def conflict(resource: Resource, name: str, text: str) -> errors.Conflict:
    return errors.Conflict(f'Operation cannot be fulfilled on {qualified(resource)} "{name}": {text}', details=_details(resource, name))


def forbidden(resource: Resource, name: str, text: str, *, causes: Sequence[Cause] = ()) -> errors.Forbidden:
    return errors.Forbidden(f'{qualified(resource)} "{name}" is forbidden: {text}', details=_details(resource, name), causes=causes)


def invalid(resource: Resource, name: str, causes: Sequence[Cause]) -> errors.Invalid:
    """`Pod "x" is invalid: spec.containers[0].image: Required value`, brackets around several."""
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    return errors.Invalid(
        f"{kind} {json.dumps(name, ensure_ascii=False)} is invalid: {joined}",
        causes=causes,
        details=_details(resource, name, kind=resource.kind),
    )


def unsupported_media(text: str) -> errors.Unsupported:
    return errors.Unsupported(text, reason="UnsupportedMediaType")


def method_not_allowed(text: str = "the server does not allow this method on the requested resource") -> errors.Unsupported:
    return errors.Unsupported(text, reason="MethodNotAllowed")


def no_such_path() -> errors.NotFound:
    return errors.NotFound("the server could not find the requested resource")
