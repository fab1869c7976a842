"""`metav1.Status` and HTTP codes to the kinds of `kit.errors`, and back (for the in-process transport, whose handler may raise)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polong.kit import errors

Json = dict[str, Any]

_BY_REASON: Mapping[str, type[errors.PolongError]] = {
    "AlreadyExists": errors.AlreadyExists,
    "Expired": errors.Gone,
    "Gone": errors.Gone,
    "Invalid": errors.Invalid,
    "Timeout": errors.DeadlineExceeded,
    "ServerTimeout": errors.Unavailable,
}

_BY_CODE: Mapping[int, type[errors.PolongError]] = {
    400: errors.BadRequest,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.Unsupported,
    406: errors.Unsupported,
    408: errors.DeadlineExceeded,
    409: errors.Conflict,
    410: errors.Gone,
    412: errors.FailedPrecondition,
    413: errors.TooLarge,
    415: errors.Unsupported,
    422: errors.Invalid,
    429: errors.Unavailable,
    501: errors.Unsupported,
    502: errors.Unavailable,
    503: errors.Unavailable,
    504: errors.DeadlineExceeded,
}

_CODES: Mapping[type[errors.PolongError], tuple[int, str]] = {
    errors.BadRequest: (400, "BadRequest"),
    errors.Unauthorized: (401, "Unauthorized"),
    errors.Forbidden: (403, "Forbidden"),
    errors.NotFound: (404, "NotFound"),
    errors.AlreadyExists: (409, "AlreadyExists"),
    errors.Conflict: (409, "Conflict"),
    errors.Gone: (410, "Expired"),
    errors.TooLarge: (413, "RequestEntityTooLarge"),
    errors.Invalid: (422, "Invalid"),
    errors.FailedPrecondition: (409, "Conflict"),
    errors.Unsupported: (405, "MethodNotAllowed"),
    errors.Unavailable: (503, "ServiceUnavailable"),
    errors.DeadlineExceeded: (504, "Timeout"),
}


def error_of(code: int, status: Json | None, text: str = "") -> errors.PolongError:
    """The error that a non-2xx answer means; `text` serves where the body was no Status."""
    status = status if status is not None and status.get("kind") == "Status" else {}
    code = int(status.get("code") or code)
    reason = str(status.get("reason") or "")
    kind = _BY_REASON.get(reason) or _BY_CODE.get(code) or (errors.Internal if code >= 500 else errors.BadRequest)
    message = str(status.get("message") or text.strip()[:1024] or f"the server answered {code}")
    causes = [
        errors.Cause(str(cause.get("reason") or ""), str(cause.get("message") or ""), str(cause.get("field") or ""))
        for cause in (status.get("details") or {}).get("causes") or ()
    ]
    return kind(message, reason=reason, causes=causes)


def status_of(error: errors.PolongError) -> Json:
    """The Status that stands for `error`."""
    code, reason = next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), (500, "InternalError"))
    status: Json = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
        "reason": error.reason or reason,
        "code": code,
    }
    if error.causes:
        status["details"] = {"causes": [{"reason": c.reason, "message": c.message, "field": c.field} for c in error.causes]}
    return status
