"""patch: JSON patch, merge patch, strategic merge patch and apply (see there), by media type; retried where another writer came first."""

from __future__ import annotations

from typing import Any

from polong.api import status
from polong.api.patch import json_patch, merge_patch
from polong.api.service import Response
from polong.api.verbs import answers, body, fieldmanagers
from polong.api.verbs.apply import apply
from polong.api.verbs.call import Call
from polong.api.verbs.update import ATTEMPTS, replace
from polong.kit.errors import BadRequest, Conflict
from polong.objects import decode, strategic_merge
from polong.objects.schema import type_of

Json = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
ACCEPTED = (JSON_PATCH, MERGE_PATCH, STRATEGIC, APPLY)


async def patch(call: Call) -> Response:
    media = body.media_type(call)
    if media == APPLY:
        return await apply(call)
    if "force" in call.query:
        raise fieldmanagers.refused(call, "FieldValueForbidden", "Forbidden: may not be specified for non-apply patch", field="force")
    if media not in ACCEPTED:
        raise status.unsupported_media(
            f"the body of the request was in an unknown format - accepted media types include: {', '.join(ACCEPTED)}"
        )
    raw = body.raw(call)
    document = raw if isinstance(raw, dict) else decode.parse_json(raw)
    if media != JSON_PATCH and not isinstance(document, dict):
        raise BadRequest("cannot decode the patch: the body must be a JSON object")
    metadata = document.get("metadata") if isinstance(document, dict) else None
    pinned = isinstance(metadata, dict) and bool(metadata.get("resourceVersion"))
    for attempt in range(ATTEMPTS):
        old, revision = await call.store.get(call.kind, call.target.namespace, call.target.name)
        try:
            new = _patched(call, media, document, old)
            if new["metadata"].get("resourceVersion", str(revision)) != str(revision):
                raise status.modified(call.kind.resource, call.target.name)
            return answers.one(call, await replace(call, new, old, revision))
        except Conflict:
            if pinned or attempt == ATTEMPTS - 1:
                raise
            call.warnings.clear()
    raise AssertionError("unreachable")


def _patched(call: Call, media: str, document: Any, old: Json) -> Json:  # noqa: ANN401 - any JSON value
    """The patched object, decoded as if it had been sent whole."""
    resource = call.kind.resource
    repeated = decode.duplicates(document)
    if media == JSON_PATCH:
        patched = json_patch.apply(old, document)
    elif media == MERGE_PATCH:
        patched = merge_patch.apply(old, document)
    else:
        patched = strategic_merge.apply(old, document, type_of(resource.api_version, resource.kind))
    if not isinstance(patched, dict) or not isinstance(patched.get("metadata"), dict):
        raise BadRequest("cannot apply the patch: the result is not an object with metadata")
    new = body.checked(call, patched, repeated=repeated)
    for field in ("name", "namespace"):
        if new["metadata"].get(field, "") != old["metadata"].get(field, ""):
            raise BadRequest(f"the {field} of the object may not be changed by a patch")
    return new
