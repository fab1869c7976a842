"""Objects and lists in the form that the client asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from polong.api import negotiate
from polong.api.service import Response
from polong.api.stored import Stored
from polong.api.tables import table as tables
from polong.api.verbs.call import Call
from polong.kit.errors import BadRequest

Json = dict[str, Any]

_PARTIAL = ("PartialObjectMetadata", "PartialObjectMetadataList")


def include_object(call: Call) -> str:
    policy = call.query.get("includeObject") or "Metadata"
    if policy not in tables.OBJECT_POLICIES:
        raise BadRequest(f'includeObject: Invalid value: "{policy}": must be "None", "Metadata" or "Object"')
    return policy


def warning_headers(warnings: Sequence[str]) -> dict[str, str]:
    """RFC 7234 Warning, 299, as kubectl prints them; one header line for all, since names in a Response are unique."""
    texts = [warning.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") for warning in dict.fromkeys(warnings)]
    return {"Warning": ", ".join(f'299 - "{text}"' for text in texts)} if texts else {}


def rows(call: Call, items: Sequence[Stored], policy: str) -> list[Json]:
    now = call.now
    return [_row(call, item.object(), _shown(call, item, policy), now) for item in items]


def _row(call: Call, obj: Json, shown: Json | msgspec.Raw | None, now: datetime) -> Json:
    return tables.row(call.kind.columns, call.kind.to_storage(obj), now, shown)


def _shown(call: Call, item: Stored, policy: str) -> Json | msgspec.Raw | None:
    if policy == "Object":
        return item.encoded() if call.request.wire else item.object()
    return _partial(call, item) if policy == "Metadata" else None


def _partial(call: Call, item: Stored) -> Json:
    if not call.request.wire:
        return tables.partial_object(item.object(), call.form.version)
    return {"kind": "PartialObjectMetadata", "apiVersion": f"{negotiate.META}/{call.form.version}", "metadata": item.metadata()}


def converted(call: Call, obj: Json) -> Json:
    """One object: itself, a Table of one row, or its metadata."""
    partial = tables.partial_object(obj, call.form.version)
    if call.form.kind == "Table":
        metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        made = _row(call, obj, {"Object": obj, "Metadata": partial}.get(include_object(call)), call.now)
        return tables.table(call.kind.columns, [made], metadata, call.form.version)
    return partial if call.form.kind == "PartialObjectMetadata" else obj


def one(call: Call, obj: Json, code: int = 200) -> Response:
    return Response(code, converted(call, obj), warning_headers(call.warnings))


def of_stored(call: Call, stored: Stored) -> Json | msgspec.Raw:
    """As `converted`, copied from the store where the answer is for a wire."""
    if call.form.kind in _PARTIAL:
        return _partial(call, stored)
    return stored.encoded() if call.request.wire and not call.form.kind else converted(call, stored.object())


def stored_one(call: Call, stored: Stored) -> Response:
    found = of_stored(call, stored)
    return Response(200, msgspec.json.encode(found) if isinstance(found, msgspec.Raw) else found, warning_headers(call.warnings))


def many(call: Call, items: Sequence[Stored], metadata: Json) -> Response:
    if call.form.kind == "Table":
        made = rows(call, items, include_object(call))
        return Response(200, tables.table(call.kind.columns, made, metadata, call.form.version))
    resource = call.kind.resource
    kind, version = f"{resource.kind}List", resource.api_version
    if call.form.kind:
        kind, version = call.form.kind, call.form.api_version
    return Response(200, {"kind": kind, "apiVersion": version, "metadata": metadata, "items": [of_stored(call, item) for item in items]})
