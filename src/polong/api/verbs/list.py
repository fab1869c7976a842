"""list: a collection, whole or in pages. Source: apiserver pkg/storage continue tokens, API concepts "resource versions"."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from polong.api.service import Response
from polong.api.stored import Stored
from polong.api.verbs import answers
from polong.api.verbs.call import Call
from polong.kit.errors import BadRequest, Cause, DeadlineExceeded, Gone, Invalid

Json = dict[str, Any]


_NEWEST = -1
"""In a token: go on in whatever is there now, since the snapshot that the list began with is forgotten."""

_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue "
    "parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token "
    "results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and "
    "now may show up in the list."
)


def _token(revision: int, after: str) -> str:
    return base64.urlsafe_b64encode(json.dumps({"v": "polong/v1", "rv": revision, "start": after}).encode()).decode()


def _parse_token(token: str, prefix: str) -> tuple[int, str]:
    try:
        parsed = json.loads(base64.urlsafe_b64decode(token.encode()))
        revision, after = parsed["rv"], parsed["start"]
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise BadRequest("continue key is not valid: it is not a token of this server") from None
    if not isinstance(revision, int) or revision < _NEWEST or not isinstance(after, str) or not after.startswith(prefix):
        raise BadRequest("continue key is not valid: it is not a token of this collection")
    return revision, after


async def wanted_revision(call: Call) -> int:
    """The revision that the query pins (resourceVersionMatch=Exact), 0 for "now". Later than now is a Timeout, as in Kubernetes."""
    text, match = call.query.get("resourceVersion", ""), call.query.get("resourceVersionMatch", "")
    if match and match not in ("Exact", "NotOlderThan"):
        raise _invalid_match(f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan"')
    if match and not text and call.verb == "list":
        raise _invalid_match("Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match == "Exact" and text == "0":
        raise _invalid_match('Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if not text or text == "0":
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        cause = Cause("FieldValueInvalid", f'Invalid value: "{text[:40]}": must be a number', "resourceVersion")
        raise Invalid(f"resourceVersion: {cause.message}", causes=(cause,))
    current = await call.store.revision()
    if int(text) > current:
        cause = Cause("ResourceVersionTooLarge", "Too large resource version", "")
        raise DeadlineExceeded(f"Too large resource version: {text}, current: {current}", causes=(cause,), details={"retryAfterSeconds": 1})
    return int(text) if match == "Exact" else 0


def _invalid_match(text: str) -> Invalid:
    return Invalid(f"resourceVersionMatch: {text}", causes=(Cause("FieldValueInvalid", text, "resourceVersionMatch"),))


async def list_(call: Call) -> Response:
    """All items that match, or `limit` of them and a token for the rest."""
    selection, limit = call.selection(), call.number("limit") or 0
    namespace = call.target.namespace
    after, revision = "", await wanted_revision(call)
    if token := call.query.get("continue", ""):
        if call.query.get("resourceVersion", "") not in ("", "0"):
            raise BadRequest("specifying resource version is not allowed when using continue")
        revision, after = _parse_token(token, call.store.prefix(call.kind, namespace))
        revision = max(revision, 0)
    items: list[Stored] = []
    metadata: Json = {}
    while True:
        try:
            page = await call.store.page(call.kind, namespace, limit=limit and max(limit - len(items), 1), after=after, revision=revision)
        except Gone:
            if after:
                raise Gone(_EXPIRED, reason="Expired", resume=_token(_NEWEST, after)) from None
            raise Gone(f"The resourceVersion for the provided list is too old: {revision}", reason="Expired") from None
        revision = page.revision
        items += [item for item in page.stored if not selection or selection.chooses(call.kind, item)]
        after = page.after
        if not page.more:
            break
        if limit and len(items) >= limit:
            metadata["continue"] = _token(revision, after)
            if not selection:
                metadata["remainingItemCount"] = page.remaining
            break
    metadata["resourceVersion"] = str(revision)
    return answers.many(call, items, metadata)
