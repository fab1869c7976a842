"""polong.dev/v1alpha1, cluster scope: the node's image store over REST (docs/decisions/0003-image-administration.md)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from polong.api import status
from polong.api.ports import Images
from polong.api.service import Request, Response
from polong.kit.errors import BadRequest, Internal, PolongError, Unavailable
from polong.objects import decode

Json = dict[str, Any]

API_VERSION = "polong.dev/v1alpha1"
RESOURCES = frozenset({"images", "imagepulls", "imageimports", "imageexports", "imageprunes"})


def streams_body(method: str, path: str) -> bool:
    """An archive is not held in memory."""
    return method == "POST" and path.rstrip("/").endswith("/polong.dev/v1alpha1/imageimports")


async def handle(request: Request, resource: str, query: Sequence[tuple[str, str]], images: Images | None) -> Response:
    """One request about images. Progress comes as JSON lines; an error that ends it comes as a last line, a Status."""
    if images is None:
        raise Unavailable("the image store is not running: wait for the node to be ready")
    match resource, request.method:
        case "images", "GET":
            items = [{"kind": "Image", "apiVersion": API_VERSION, **image} for image in await images.list()]
            return Response(200, {"kind": "ImageList", "apiVersion": API_VERSION, "metadata": {}, "items": items})
        case "images", "DELETE":
            references = _references(query)
            for reference in references:
                await images.remove(reference)
            return Response(200, status.status("Success", 200, details={"name": " ".join(references), "kind": "images"}))
        case "imagepulls", "POST":
            wanted = _fields(request, ("image", "username", "password"))
            if not wanted.get("image"):
                raise BadRequest("cannot pull: the field image is missing")
            progress = images.pull(wanted["image"], username=wanted.get("username", ""), password=wanted.get("password", ""))
            return Response(200, events=_progress(progress))
        case "imageimports", "POST":
            return Response(200, events=_progress(images.import_archive(_stream(request))))
        case "imageexports", "GET":
            chunks = images.export_archive(_references(query))
            return Response(200, headers={"Content-Type": "application/x-tar"}, chunks=await _primed(chunks))
        case "imageprunes", "POST":
            removed = [{"kind": "Image", "apiVersion": API_VERSION, **image} for image in await images.prune()]
            return Response(200, {"kind": "ImageList", "apiVersion": API_VERSION, "metadata": {}, "items": removed})
    raise status.method_not_allowed()


def _references(query: Sequence[tuple[str, str]]) -> list[str]:
    references = [value for name, value in query if name == "image" and value]
    if not references:
        raise BadRequest("the query parameter image is missing")
    return references


def _fields(request: Request, names: Sequence[str]) -> Mapping[str, str]:
    body = decode.parse_json(request.body) if isinstance(request.body, bytes) else request.body
    if not isinstance(body, dict):
        raise BadRequest("cannot read the request: the body must be a JSON object")
    for name in body:
        if name not in (*names, "kind", "apiVersion"):
            raise BadRequest(f'unknown field "{name}"')
    for name in names:
        if not isinstance(body.get(name, ""), str):
            raise BadRequest(f"the field {name} must be a string")
    return body


async def _stream(request: Request) -> AsyncIterator[bytes]:
    body = request.body
    if isinstance(body, AsyncIterator):
        async for chunk in body:
            yield chunk
    elif isinstance(body, bytes):
        yield body
    else:
        raise BadRequest("cannot import: the body must be a tar archive")


async def _progress(steps: AsyncIterator[Json]) -> AsyncIterator[Json]:
    """A failure is the last line: by then the HTTP status is long out."""
    try:
        async for step in steps:
            yield step
    except PolongError as error:
        yield status.failure(error)
    except OSError as error:
        yield status.failure(Internal(f"the image store failed: {error}"))
    except msgspec.MsgspecError as error:
        yield status.failure(BadRequest(f"not an image archive: {error}"))
    finally:
        close = getattr(steps, "aclose", None)
        if close is not None:
            await close()


async def _primed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Wait for the first chunk, so that an unknown image is a 404."""
    try:
        first = await anext(chunks)
    except StopAsyncIteration:
        first = b""

    async def rest() -> AsyncIterator[bytes]:
        try:
            yield first
            async for chunk in chunks:
                yield chunk
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()

    return rest()
