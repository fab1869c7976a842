"""The one family of errors. Kinds are mapped to `metav1.Status` in `objects/status.py` and to gRPC codes in the CRI server, nowhere else.

    PolongError
     ├─ BadRequest            malformed input (400)
     ├─ Unauthorized          no or bad credentials (401)
     ├─ Forbidden             refused by policy or admission (403)
     ├─ NotFound              no such object (404)
     ├─ AlreadyExists         name taken (409)
     ├─ Conflict              stale revision or failed precondition (409)
     ├─ Gone                  revision compacted (410)
     ├─ TooLarge              a named bound was exceeded (413)
     ├─ Invalid               well-formed but not valid; carries causes (422)
     ├─ FailedPrecondition    the object's state does not allow it
     ├─ Unsupported           not implemented, refused by name
     ├─ Unavailable           try again later (503)
     ├─ DeadlineExceeded      took too long (504)
     └─ Internal              our own fault (500)

Messages are one line in lower case, "cannot x: cause"; `reason` is Kubernetes' own CamelCase word where it has one
(`ErrImagePull`, `CreateContainerConfigError`). Kernel failures stay `OSError` with syscall and path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Cause(NamedTuple):
    """One entry of `Status.details.causes`: `reason` such as FieldValueInvalid, `field` a path such as spec.containers[0].image."""

    reason: str
    message: str
    field: str


class PolongError(Exception):
    """Base of all errors that cross a seam."""

    def __init__(
        self, message: str, *, reason: str = "", causes: Sequence[Cause] = (), details: Mapping[str, str | int] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.causes = tuple(causes)
        self.details = dict(details or {})
        """What `Status.details` says besides causes: name, kind (the plural), group, uid, retryAfterSeconds."""


class BadRequest(PolongError):  # noqa: N818
    pass


class Unauthorized(PolongError):  # noqa: N818
    pass


class Forbidden(PolongError):  # noqa: N818
    pass


class NotFound(PolongError):  # noqa: N818
    pass


class AlreadyExists(PolongError):  # noqa: N818
    pass


class Conflict(PolongError):  # noqa: N818
    pass


class Gone(PolongError):  # noqa: N818
    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        causes: Sequence[Cause] = (),
        details: Mapping[str, str | int] | None = None,
        resume: str = "",
    ) -> None:
        super().__init__(message, reason=reason, causes=causes, details=details)
        self.resume = resume
        """A continue token with which a list can be finished, inconsistently."""


class TooLarge(PolongError):  # noqa: N818
    pass


class Invalid(PolongError):  # noqa: N818
    pass


class FailedPrecondition(PolongError):  # noqa: N818
    pass


class Unsupported(PolongError):  # noqa: N818
    pass


class Unavailable(PolongError):  # noqa: N818
    pass


class DeadlineExceeded(PolongError):  # noqa: N818
    pass


class Internal(PolongError):  # noqa: N818
    pass
