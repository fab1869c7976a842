"""polong.dev/v1alpha1 pods/access and pods/files: who may reach whom in a Pod, and what lies in its containers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from polong.api import processes, status
from polong.api.paths import Target
from polong.api.ports import Inspector
from polong.api.service import Request, Response
from polong.kit.errors import BadRequest, Unavailable
from polong.objects import podfiles

Json = dict[str, Any]

SUBRESOURCES = frozenset({"access", "files"})
_BYTES = {"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff"}


def streams_body(method: str, path: str) -> bool:
    """A file is not held in memory."""
    return method == "POST" and path.startswith("/apis/polong.dev/v1alpha1/namespaces/") and path.rstrip("/").endswith("/files")


async def handle(
    request: Request, target: Target, query: Mapping[str, str], inspector: Inspector | None, pod: Callable[[], Awaitable[Json]]
) -> Response:
    if inspector is None:
        raise Unavailable("the node is not running yet: try again in a moment")
    match target.subresource, request.method:
        case "access", "GET" | "HEAD":
            _known(query, {"from", "to"})
            return Response(200, await inspector.access(await pod(), query.get("from", ""), query.get("to", "")))
        case "access", "POST":
            # It starts a program in the containers: no read.
            fields = processes.checked(processes.body(request), {"from": str, "to": str, "verify": bool})
            if not fields.get("verify"):
                raise BadRequest('post {"verify": true} to have the verdicts tried, or get them as they are computed')
            return Response(201, await inspector.verify(await pod(), fields.get("from", ""), fields.get("to", "")))
        case "files", "GET":
            options = podfiles.parse(query)
            found, body = await inspector.files(await pod(), query.get("container", ""), options)
            headers = _BYTES | ({"Content-Type": "application/x-tar"} if options.op == "archive" else {})
            return Response(200, found) if body is None else Response(200, headers=headers, chunks=body)
        case "files", "POST":
            _known(query, {"container", "path", "pathBase64", "op", "mode", "expected"})
            path = podfiles.path_of(query)
            if podfiles.write_of(query) == podfiles.EXTRACT:
                return Response(201, await inspector.write_tree(await pod(), query.get("container", ""), path, _stream(request)))
            mode = podfiles.mode_of(query)
            expected = query.get("expected", "")
            written = await inspector.write_file(await pod(), query.get("container", ""), path, mode, _stream(request), expected)
            return Response(201, written)
    raise status.method_not_allowed()


async def _stream(request: Request) -> AsyncIterator[bytes]:
    if isinstance(request.body, AsyncIterator):
        async for chunk in request.body:
            yield chunk
    elif isinstance(request.body, bytes):
        yield request.body
    elif request.body is not None:
        raise BadRequest("cannot write: the body must be the bytes of the file")


def _known(query: Mapping[str, str], names: set[str]) -> None:
    for name in query:
        if name not in names:
            raise BadRequest(f"unknown query parameter {name[:40]!r}: there are {', '.join(sorted(names))}")
