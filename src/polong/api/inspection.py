"""polong.dev/v1alpha1 pods/access and pods/files: who may reach whom in a Pod, and what lies in its containers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from polong.api import status
from polong.api.paths import Target
from polong.api.ports import Inspector
from polong.api.service import Request, Response
from polong.kit.errors import BadRequest, Unavailable

Json = dict[str, Any]

SUBRESOURCES = frozenset({"access"})


async def handle(
    request: Request, target: Target, query: Mapping[str, str], inspector: Inspector | None, pod: Callable[[], Awaitable[Json]]
) -> Response:
    if inspector is None:
        raise Unavailable("the node is not running yet: try again in a moment")
    match target.subresource, request.method:
        case "access", "GET" | "HEAD":
            _known(query, {"from", "to"})
            return Response(200, await inspector.access(await pod(), query.get("from", ""), query.get("to", "")))
    raise status.method_not_allowed()


def _known(query: Mapping[str, str], names: set[str]) -> None:
    for name in query:
        if name not in names:
            raise BadRequest(f"unknown query parameter {name[:40]!r}: there are {', '.join(sorted(names))}")
