"""pods/log: options, the container, and the log as chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

from polong.api import status
from polong.api.paths import is_true
from polong.api.podstreams import choose_container
from polong.api.ports import Node
from polong.api.resources import fields
from polong.api.service import Response
from polong.kit.clock import Clock, parse_rfc3339
from polong.kit.errors import BadRequest, Cause
from polong.kit.tasks import Tasks
from polong.objects.gvk import Resource
from polong.objects.podlogs import PodLogOptions

Json = dict[str, Any]

FIRST_PIECE_SECONDS = 0.2
_OPTIONS = Resource("", "v1", "podlogoptions", "PodLogOptions")


def _number(query: Mapping[str, str], name: str, lowest: int, text: str, causes: list[Cause]) -> int | None:
    given = query.get(name, "")
    if not given:
        return None
    try:
        number = int(given)
    except ValueError:
        raise BadRequest(f'cannot read query parameter {name}="{given[:40]}": it must be an integer') from None
    if number < lowest:
        causes.append(fields.invalid(name, number, text))
    return number


def options(query: Mapping[str, str], clock: Clock) -> PodLogOptions:
    """core/v1 PodLogOptions of a query. Invalid, BadRequest."""
    causes: list[Cause] = []
    seconds = _number(query, "sinceSeconds", 1, "must be greater than 0", causes)
    tail = _number(query, "tailLines", 0, "must be greater than or equal to 0", causes)
    limit = _number(query, "limitBytes", 1, "must be greater than 0", causes)
    since = None
    if seconds is not None:
        since = clock.now() - timedelta(seconds=min(seconds, 10**9))
    if moment := query.get("sinceTime", ""):
        if seconds is not None:
            causes.append(fields.forbidden("sinceSeconds", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
        try:
            since = parse_rfc3339(moment)
        except ValueError:
            raise BadRequest(f'cannot read query parameter sinceTime="{moment[:40]}": it must be an RFC 3339 time') from None
    if query.get("stream", "All") not in ("All", ""):
        causes.append(fields.forbidden("stream", "Polong does not support one stream of a log yet"))
    if causes:
        raise status.invalid(_OPTIONS, "", causes)
    return PodLogOptions(
        follow=is_true(query.get("follow", "")),
        previous=is_true(query.get("previous", "")),
        timestamps=is_true(query.get("timestamps", "")),
        since=since,
        tail_lines=tail,
        limit_bytes=limit,
    )


async def log(pod: Json, query: Mapping[str, str], node: Node, clock: Clock, tasks: Tasks) -> Response:
    """The answer begins once the log does, or after a moment: a container that never started is a 400, not an empty 200."""
    wanted = options(query, clock)
    pieces = node.logs(pod, choose_container(pod, query.get("container", "")), wanted)
    first = tasks.start(_step(pieces), "log")
    await asyncio.wait({first}, timeout=FIRST_PIECE_SECONDS)
    if first.done():
        error = first.result()[1]
        if error is not None:
            raise error
    return Response(200, headers={"Content-Type": "text/plain"}, chunks=_chunks(pieces, first))


async def _step(pieces: AsyncIterator[bytes]) -> tuple[bytes | None, Exception | None]:
    """One piece, None at the end; errors as values, since nobody may be waiting yet."""
    try:
        return await anext(pieces), None
    except StopAsyncIteration:
        return None, None
    except Exception as error:
        return None, error


async def _chunks(pieces: AsyncIterator[bytes], first: asyncio.Task[tuple[bytes | None, Exception | None]]) -> AsyncIterator[bytes]:
    try:
        piece, error = await first
        if error is not None:
            raise error
        if piece is None:
            return
        yield piece
        async for more in pieces:
            yield more
    finally:
        if not first.done():
            first.cancel()
            await asyncio.wait({first})
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()
