"""Objects and lists in the form that the client asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polong.api.service import Response
from polong.api.tables import table as tables
from polong.api.verbs.call import Call
from polong.kit.errors import BadRequest

Json = dict[str, Any]


def include_object(call: Call) -> str:
    policy = call.query.get("includeObject") or "Metadata"
    if policy not in tables.OBJECT_POLICIES:
        raise BadRequest(f'includeObject: Invalid value: "{policy}": must be "None", "Metadata" or "Object"')
    return policy


def warning_headers(warnings: Sequence[str]) -> dict[str, str]:
    """RFC 7234 Warning, 299, as kubectl prints them; one header line for all, since names in a Response are unique."""
    texts = [warning.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") for warning in dict.fromkeys(warnings)]
    return {"Warning": ", ".join(f'299 - "{text}"' for text in texts)} if texts else {}


def rows(call: Call, items: Sequence[Json], policy: str) -> list[Json]:
    made = tables.rows(call.kind.columns, [call.kind.to_storage(item) for item in items], call.now, policy, call.form.version)
    if policy == "Object":
        for row, item in zip(made, items, strict=True):
            row["object"] = item
    return made


def converted(call: Call, obj: Json) -> Json:
    """One object: itself, a Table of one row, or its metadata."""
    if call.form.kind == "Table":
        metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        made = rows(call, [obj], include_object(call))
        return tables.table(call.kind.columns, made, metadata, call.form.version)
    if call.form.kind == "PartialObjectMetadata":
        return tables.partial_object(obj, call.form.version)
    return obj


def one(call: Call, obj: Json, code: int = 200) -> Response:
    return Response(code, converted(call, obj), warning_headers(call.warnings))


def many(call: Call, items: Sequence[Json], metadata: Json) -> Response:
    if call.form.kind == "Table":
        made = rows(call, items, include_object(call))
        return Response(200, tables.table(call.kind.columns, made, metadata, call.form.version))
    if call.form.kind == "PartialObjectMetadataList":
        return Response(200, tables.partial_list(items, metadata, call.form.version))
    resource = call.kind.resource
    return Response(200, {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata, "items": list(items)})
