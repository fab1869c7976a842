"""`metav1.Status` and the kinds of `kit.errors`: the one table, both ways, for whoever answers and whoever is answered.

A transport must not change what is told: over HTTP and in process the same error gives the same Status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polong.kit import errors
from polong.kit.errors import PolongError

Json = dict[str, Any]

_KINDS: Mapping[type[PolongError], tuple[int, str]] = {
    errors.BadRequest: (400, "BadRequest"),
    errors.Unauthorized: (401, "Unauthorized"),
    errors.Forbidden: (403, "Forbidden"),
    errors.NotFound: (404, "NotFound"),
    errors.AlreadyExists: (409, "AlreadyExists"),
    errors.Conflict: (409, "Conflict"),
    errors.FailedPrecondition: (409, "Conflict"),
    errors.Gone: (410, "Expired"),
    errors.TooLarge: (413, "RequestEntityTooLarge"),
    errors.Invalid: (422, "Invalid"),
    errors.Unsupported: (501, "NotImplemented"),
    errors.Unavailable: (503, "ServiceUnavailable"),
    errors.DeadlineExceeded: (504, "Timeout"),
}

# Reasons that carry an HTTP code of their own.
_CODES = {"UnsupportedMediaType": 415, "MethodNotAllowed": 405, "NotAcceptable": 406, "TooManyRequests": 429}

# What other servers' reasons and codes mean here.
_BY_REASON: Mapping[str, type[PolongError]] = {
    "AlreadyExists": errors.AlreadyExists,
    "Expired": errors.Gone,
    "Gone": errors.Gone,
    "Invalid": errors.Invalid,
    "Timeout": errors.DeadlineExceeded,
    "ServerTimeout": errors.Unavailable,
}
_BY_CODE: Mapping[int, type[PolongError]] = {
    **{code: kind for kind, (code, _) in _KINDS.items() if code != 409},
    405: errors.Unsupported,
    406: errors.Unsupported,
    408: errors.DeadlineExceeded,
    409: errors.Conflict,
    412: errors.FailedPrecondition,
    415: errors.Unsupported,
    429: errors.Unavailable,
    502: errors.Unavailable,
}


def failure(error: PolongError) -> Json:
    """The Status that stands for `error`; its `code` is the HTTP status."""
    code, reason = next((_KINDS[kind] for kind in type(error).__mro__ if kind in _KINDS), (500, "InternalError"))
    if error.reason in _CODES:
        code, reason = _CODES[error.reason], error.reason
    details: Json = dict(error.details)
    if error.causes:
        details["causes"] = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in error.causes]
    message = f"Internal error occurred: {error.message}" if code == 500 else error.message
    document = status("Failure", code, message=message, reason=reason, details=details)
    if isinstance(error, errors.Gone) and error.resume:
        document["metadata"]["continue"] = error.resume
    return document


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


def error_of(code: int, answer: Json | None, text: str = "") -> PolongError:
    """The error that a non-2xx answer means; `text` serves where the body was no Status."""
    answer = answer if answer is not None and answer.get("kind") == "Status" else {}
    code = int(answer.get("code") or code)
    reason = str(answer.get("reason") or "")
    kind = _BY_REASON.get(reason) or _BY_CODE.get(code) or (errors.Internal if code >= 500 else errors.BadRequest)
    message = str(answer.get("message") or text.strip()[:1024] or f"the server answered {code}")
    causes = [
        errors.Cause(str(cause.get("reason") or ""), str(cause.get("message") or ""), str(cause.get("field") or ""))
        for cause in (answer.get("details") or {}).get("causes") or ()
    ]
    return kind(message, reason=reason, causes=causes)
