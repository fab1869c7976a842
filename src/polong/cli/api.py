"""Requests of the command line: `client.rest` by path, with the Accept headers of tables, and a namespace that is known.

Every error of the server arrives as `kit.errors`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from polong.client.rest import Client
from polong.client.transport import Answer, Call, Transport
from polong.kit.errors import Gone
from polong.objects.status import error_of

Json = dict[str, Any]
Query = Sequence[tuple[str, str]]

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


class Api:
    """One server, one namespace to work in."""

    def __init__(self, client: Client, namespace: str = "default") -> None:
        self.client = client
        self.namespace = namespace

    @property
    def transport(self) -> Transport:
        return self.client.transport

    async def get(self, path: str, query: Query = (), *, accept: str | None = None) -> Json:
        return await self._json(Call("GET", path, query, {"accept": accept} if accept else {}))

    async def post(self, path: str, body: Json | None = None, query: Query = ()) -> Json:
        return await self._json(Call("POST", path, query, body=body if body is not None else {}))

    async def patch(self, path: str, body: Json, query: Query = (), *, kind: str = STRATEGIC) -> Json:
        return await self._json(Call("PATCH", path, query, body=body, content_type=kind))

    async def delete(self, path: str, body: Json | None = None, query: Query = ()) -> Json:
        return await self._json(Call("DELETE", path, query, body=body))

    async def raw(self, call: Call) -> Answer:
        return await self.client.raw(call)

    async def _json(self, call: Call) -> Json:
        async with await self.client.raw(call) as answer:
            return await answer.json()

    async def chunks(self, call: Call) -> AsyncGenerator[bytes, None]:
        """The body of a 2xx in pieces."""
        async with await self.client.raw(call) as answer:
            async for chunk in answer.chunks():
                yield chunk

    async def lines(self, call: Call) -> AsyncGenerator[Json, None]:
        """A stream of JSON documents."""
        async with await self.client.raw(call) as answer:
            async for item in answer.events():
                yield item

    async def watch(self, path: str, query: Query, *, accept: str | None = None) -> AsyncGenerator[Json, None]:
        """Events `{type, object}` without end: resumes where the server ended the watch. Gone where the revision was forgotten."""
        pairs = dict(query)
        version = pairs.pop("resourceVersion", "")
        while True:
            call = Call(
                "GET",
                path,
                [*pairs.items(), ("watch", "true"), ("resourceVersion", version), ("allowWatchBookmarks", "true")],
                {"accept": accept} if accept else {},
            )
            async with aclosing(self.lines(call)) as events:
                async for event in events:
                    obj = event.get("object") or {}
                    if event.get("type") == "ERROR":
                        raise error_of(int(obj.get("code") or 500), obj)
                    version = _revision(obj) or version
                    if event.get("type") != "BOOKMARK":
                        yield event
            if not version:
                raise Gone("the watch ended")


def _revision(obj: Json) -> str:
    """Of an object, or of the rows of a Table."""
    found = (obj.get("metadata") or {}).get("resourceVersion")
    if not found and obj.get("rows"):
        found = ((obj["rows"][-1].get("object") or {}).get("metadata") or {}).get("resourceVersion")
    return str(found or "")
