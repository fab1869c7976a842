"""Errors to metav1.Status: the only place where kinds of errors meet HTTP codes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from polong.kit import errors
from polong.kit.errors import Cause, PolongError
from polong.objects.gvk import Resource

Json = dict[str, Any]

_KINDS: tuple[tuple[type[PolongError], int, str], ...] = (
    (errors.BadRequest, 400, "BadRequest"),
    (errors.Unauthorized, 401, "Unauthorized"),
    (errors.Forbidden, 403, "Forbidden"),
    (errors.NotFound, 404, "NotFound"),
    (errors.AlreadyExists, 409, "AlreadyExists"),
    (errors.Conflict, 409, "Conflict"),
    (errors.FailedPrecondition, 409, "Conflict"),
    (errors.Gone, 410, "Expired"),
    (errors.TooLarge, 413, "RequestEntityTooLarge"),
    (errors.Invalid, 422, "Invalid"),
    (errors.Unsupported, 501, "NotImplemented"),
    (errors.Unavailable, 503, "ServiceUnavailable"),
    (errors.DeadlineExceeded, 504, "Timeout"),
)

# Reasons that carry an HTTP code of their own.
_REASONS = {"UnsupportedMediaType": 415, "MethodNotAllowed": 405, "NotAcceptable": 406, "TooManyRequests": 429}


def failure(error: PolongError) -> Json:
    """The Status of an error that crossed the door; `code` is the HTTP status."""
    code, reason = next(((code, reason) for kind, code, reason in _KINDS if isinstance(error, kind)), (500, "InternalError"))
    if error.reason in _REASONS:
        code, reason = _REASONS[error.reason], error.reason
    details: Json = dict(error.details)
    if error.causes:
        details["causes"] = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in error.causes]
    message = f"Internal error occurred: {error.message}" if code == 500 else error.message
    return status("Failure", code, message=message, reason=reason, details=details)


def status(outcome: str, code: int, *, message: str = "", reason: str = "", details: Json | None = None) -> Json:
    document: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": outcome}
    if message:
        document["message"] = message
    if reason:
        document["reason"] = reason
    if details:
        document["details"] = details
    document["code"] = code
    return document


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
