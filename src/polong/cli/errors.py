"""Errors in kubectl's words: `Error from server (NotFound): pods "x" not found`, `The Pod "x" is invalid: …`, `error: …`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from polong.kit import errors
from polong.kit.errors import Cause

_REASONS: dict[type[errors.PolongError], str] = {
    errors.BadRequest: "BadRequest",
    errors.Unauthorized: "Unauthorized",
    errors.Forbidden: "Forbidden",
    errors.NotFound: "NotFound",
    errors.AlreadyExists: "AlreadyExists",
    errors.Conflict: "Conflict",
    errors.Gone: "Expired",
    errors.TooLarge: "RequestEntityTooLarge",
    errors.Invalid: "Invalid",
    errors.FailedPrecondition: "Conflict",
    errors.Unavailable: "ServiceUnavailable",
    errors.DeadlineExceeded: "Timeout",
    errors.Internal: "InternalError",
}


class Failure(click.ClickException):
    """What this side found wrong: printed as `error: …`."""


class FromServer(Exception):  # noqa: N818 - a decoration of the server's answer, not a kind of error
    """A server's error and what was being done: `error when creating "pod.yaml"`."""

    def __init__(self, error: errors.PolongError, doing: str) -> None:
        super().__init__(doing)
        self.error = error
        self.doing = doing


def explain(error: BaseException) -> str:
    """One line (several where the server gave several causes), for standard error."""
    if isinstance(error, FromServer):
        return _of(error.error, error.doing)
    return _of(error, "")


def _of(error: BaseException, doing: str) -> str:
    if isinstance(error, errors.Invalid):
        return _invalid(error)
    if isinstance(error, errors.Unavailable) and not getattr(error, "status", None):
        return error.message if error.message.startswith(("The connection", "Unable to connect")) else f"error: {error.message}"
    if isinstance(error, errors.PolongError):
        reason = error.reason or next((name for kind, name in _REASONS.items() if isinstance(error, kind)), "")
        head = f"Error from server ({reason})" if reason else "Error from server"
        return f"{head}: {doing + ': ' if doing else ''}{error.message}"
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        return f"error:{where}{':' if where else ''} {error.strerror or error}"
    if isinstance(error, TimeoutError):
        return "error: timed out"
    return f"error: {type(error).__name__}: {error}; this is a fault of polong (POLONG_DEBUG=1 shows where)"


def _invalid(error: errors.Invalid) -> str:
    head = error.message.partition(" is invalid")[0] if " is invalid" in error.message else ""
    kind, _, name = head.partition(" ")
    subject = f"The {kind} {name} is invalid" if name.startswith('"') else "The request is invalid"
    if not error.causes:
        rest = error.message.removeprefix(head).removeprefix(" is invalid") if name.startswith('"') else f": {error.message}"
        return subject + rest
    return f"{subject}: {_causes(error.causes)}"


def _causes(causes: Sequence[Cause]) -> str:
    lines = [f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes]
    return lines[0] if len(lines) == 1 else "\n" + "\n".join(f"* {line}" for line in lines)
