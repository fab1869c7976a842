"""A Pod that comes from a file of the node and not by a request (a static Pod): decoded, defaulted and validated as a request's."""

from __future__ import annotations

from typing import Any

from polong.api import status
from polong.api.resources.kind import Context
from polong.api.resources.pods import Pods
from polong.kit.errors import BadRequest
from polong.objects import decode

Json = dict[str, Any]


def complete(document: Any, node_name: str, now: str) -> Json:  # noqa: ANN401 - any YAML value
    """The Pod. BadRequest for what is none or has unknown fields, Invalid with causes where it could not be created."""
    kind = Pods(node_name)
    resource = kind.resource
    decoded = decode.decode_object(document, resource.api_version, resource.kind)
    if decoded.problems:
        raise BadRequest(f"strict decoding error: {', '.join(decoded.problems)}")
    pod = decoded.obj
    kind.default(pod, Context(now, node_name))
    kind.prepare_create(pod, Context(now, node_name))
    if causes := kind.validate(pod):
        raise status.invalid(resource, str(pod["metadata"].get("name", "")), causes)
    return pod
