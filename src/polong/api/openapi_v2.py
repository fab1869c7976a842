"""/openapi/v2 as protobuf, as far as kubectl 1.27 and 1.28 need it: which kinds take `fieldValidation` on PATCH. Pure.

Field numbers from google/gnostic openapiv2/OpenAPIv2.proto. Schemas are served by /openapi/v3 alone; without them kubectl merges with the
types that it has built in.
"""

from __future__ import annotations

from polong.api.resources.kind import Kind
from polong.api.resources.registry import Registry

MEDIA = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""What a client asks for is no media type by RFC 6838 (the @), so the answer has another name, as in Kubernetes."""

_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _part(number: int, content: bytes | str) -> bytes:
    """A length-delimited field."""
    data = content.encode() if isinstance(content, str) else content
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _parameter(name: str) -> bytes:
    query = _part(2, "query") + _part(4, name) + _part(6, "string")
    # ParametersItem.parameter > Parameter.non_body_parameter > NonBodyParameter.query_parameter_sub_schema
    return _part(8, _part(1, _part(2, _part(3, query))))


def _operation(kind: Kind) -> bytes:
    resource = kind.resource
    yaml = f'group: "{resource.group}"\nkind: {resource.kind}\nversion: {resource.version}\n'
    extension = _part(1, "x-kubernetes-group-version-kind") + _part(2, _part(2, yaml))
    return b"".join(_parameter(name) for name in _PARAMETERS) + _part(13, extension)


def document(registry: Registry, version: str) -> bytes:
    """An openapi.v2.Document with the PATCH operation of every kind."""
    paths = b""
    for kind in registry:
        resource = kind.resource
        namespace = "{namespace}" if resource.namespaced else ""
        path = resource.path(namespace, "{name}").replace("%7B", "{").replace("%7D", "}")
        paths += _part(2, _part(1, path) + _part(2, _part(8, _operation(kind))))
    info = _part(1, "Polong") + _part(2, version)
    return _part(1, "2.0") + _part(2, info) + _part(8, paths)
