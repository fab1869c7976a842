"""The verbs of the Kubernetes API over any transport. Objects are dicts; errors are `kit.errors` with the server's own words.

API concepts: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Self

from polong.client.transport import Answer, Call, Transport
from polong.kit import errors
from polong.objects.gvk import Resource
from polong.objects.status import error_of

Json = dict[str, Any]
Query = list[tuple[str, str]]

# warn-code agent "text", RFC 7234 section 5.5; Kubernetes sends code 299 and agent "-".
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')


class PatchType(StrEnum):
    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class ListOptions(NamedTuple):
    """Selectors in Kubernetes' syntax (`app=web,tier!=db`; `spec.nodeName=n`). `limit` 0 is all."""

    labels: str = ""
    fields: str = ""
    limit: int = 0
    continue_: str = ""
    resource_version: str = ""
    resource_version_match: str = ""

    def query(self) -> Query:
        pairs = (
            ("labelSelector", self.labels),
            ("fieldSelector", self.fields),
            ("limit", str(self.limit or "")),
            ("continue", self.continue_),
            ("resourceVersion", self.resource_version),
            ("resourceVersionMatch", self.resource_version_match),
        )
        return [(name, value) for name, value in pairs if value]


class WriteOptions(NamedTuple):
    """`field_validation` is Strict, Warn or Ignore; `force` is for apply alone."""

    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = ""
    force: bool = False

    def query(self) -> Query:
        pairs = (
            ("dryRun", "All" if self.dry_run else ""),
            ("fieldManager", self.field_manager),
            ("fieldValidation", self.field_validation),
            ("force", "true" if self.force else ""),
        )
        return [(name, value) for name, value in pairs if value]


class DeleteOptions(NamedTuple):
    """`grace_period` in seconds (None: the object's own); `propagation` is Background, Foreground or Orphan."""

    grace_period: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False

    def body(self) -> Json:
        body: Json = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if self.grace_period is not None:
            body["gracePeriodSeconds"] = self.grace_period
        if self.propagation:
            body["propagationPolicy"] = self.propagation
        preconditions = {"uid": self.uid, "resourceVersion": self.resource_version}
        if preconditions := {name: value for name, value in preconditions.items() if value}:
            body["preconditions"] = preconditions
        if self.dry_run:
            body["dryRun"] = ["All"]
        return body


class Client:
    """Owns its transport. `warn` is called with the text of each warning that the server sends.

    `headers` go with every call (User-Agent and the like).
    """

    def __init__(
        self,
        transport: Transport,
        *,
        warn: Callable[[str], None] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.transport = transport
        self._warn = warn
        self.headers = dict(headers or {})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self.transport.aclose()

    async def get(
        self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "", query: Sequence[tuple[str, str]] = ()
    ) -> Json:
        """One object. NotFound."""
        return await self._json(Call("GET", resource.path(namespace, name, subresource), query))

    async def list(self, resource: Resource, namespace: str = "", options: ListOptions | None = None) -> Json:
        """The list object: `items`, `metadata.resourceVersion`, `metadata.continue` where there is more. Without namespace over all."""
        return await self._json(Call("GET", resource.path(namespace), (options or ListOptions()).query()))

    async def list_all(self, resource: Resource, namespace: str = "", options: ListOptions | None = None) -> Json:
        """As `list`, following `continue` to the end (pages of `limit`, 500 by default)."""
        options = options or ListOptions()
        page = await self.list(resource, namespace, _with(options, limit=options.limit or 500))
        items = list(page.get("items") or ())
        while token := (page.get("metadata") or {}).get("continue"):
            more = ListOptions(labels=options.labels, fields=options.fields, limit=options.limit or 500, continue_=token)
            page = await self.list(resource, namespace, more)
            items += page.get("items") or ()
        return {**page, "items": items}

    async def create(
        self,
        resource: Resource,
        obj: Json,
        namespace: str = "",
        *,
        name: str = "",
        subresource: str = "",
        options: WriteOptions | None = None,
    ) -> Json:
        """Create `obj`, or POST it to a subresource of `name`. AlreadyExists, Invalid."""
        path = resource.path(namespace, name, subresource)
        return await self._json(Call("POST", path, (options or WriteOptions()).query(), body=obj))

    async def update(
        self, resource: Resource, obj: Json, namespace: str = "", *, subresource: str = "", options: WriteOptions | None = None
    ) -> Json:
        """Replace the object that `obj.metadata.name` names. Conflict where its resourceVersion is stale."""
        path = resource.path(namespace, obj["metadata"]["name"], subresource)
        return await self._json(Call("PUT", path, (options or WriteOptions()).query(), body=obj))

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Json | Sequence[Json] | bytes,
        namespace: str = "",
        *,
        kind: PatchType = PatchType.STRATEGIC,
        subresource: str = "",
        options: WriteOptions | None = None,
    ) -> Json:
        """Apply `patch` of the given kind; PatchType.APPLY is server-side apply and wants options.field_manager."""
        body = patch if isinstance(patch, bytes | dict) else json.dumps(list(patch)).encode()
        path = resource.path(namespace, name, subresource)
        return await self._json(Call("PATCH", path, (options or WriteOptions()).query(), body=body, content_type=kind.value))

    async def delete(self, resource: Resource, name: str, namespace: str = "", options: DeleteOptions | None = None) -> Json:
        """The object as it stands (graceful: still there, with a deletionTimestamp), or a Status."""
        return await self._json(Call("DELETE", resource.path(namespace, name), body=(options or DeleteOptions()).body()))

    async def delete_collection(
        self, resource: Resource, namespace: str = "", selection: ListOptions | None = None, options: DeleteOptions | None = None
    ) -> Json:
        query = (selection or ListOptions()).query()
        return await self._json(Call("DELETE", resource.path(namespace), query, body=(options or DeleteOptions()).body()))

    async def watch(
        self, resource: Resource, namespace: str = "", options: ListOptions | None = None, *, bookmarks: bool = False, timeout: int = 0
    ) -> AsyncGenerator[tuple[str, Json], None]:
        """(type, object) from options.resource_version on: ADDED, MODIFIED, DELETED, BOOKMARK. An ERROR event raises (Gone where
        the revision is too old). Ends when the server ends it; `timeout` (seconds) asks the server to."""
        query = [*(options or ListOptions()).query(), ("watch", "true")]
        query += [("allowWatchBookmarks", "true")] if bookmarks else []
        query += [("timeoutSeconds", str(timeout))] if timeout else []
        answer = await self.raw(Call("GET", resource.path(namespace), query))
        async with answer:
            async for event in answer.events():
                kind, obj = event["type"], event["object"]
                if kind == "ERROR":
                    raise error_of(int(obj.get("code") or 500), obj)
                yield kind, obj

    async def logs(
        self, resource: Resource, name: str, namespace: str, query: Sequence[tuple[str, str]] = ()
    ) -> AsyncGenerator[bytes, None]:
        """The log subresource in pieces; `query` as PodLogOptions (container, follow, tailLines, ...)."""
        answer = await self.raw(Call("GET", resource.path(namespace, name, "log"), query, {"accept": "*/*"}))
        async with answer:
            async for chunk in answer.chunks():
                yield chunk

    async def raw(self, call: Call) -> Answer:
        """The answer of any 2xx, to be closed by the caller; anything else raises what its Status means."""
        headers = {"accept": "application/json", **self.headers, **call.headers}
        answer = await self.transport.call(Call(call.method, call.path, call.query, headers, call.body, call.content_type))
        try:
            self._report(answer)
            if 200 <= answer.status < 300:
                return answer
            raise await read_error(answer)
        except BaseException:
            await answer.aclose()
            raise

    async def _json(self, call: Call) -> Json:
        async with await self.raw(call) as answer:
            return await answer.json()

    def _report(self, answer: Answer) -> None:
        if self._warn is None or not (text := answer.headers.get("warning")):
            return
        for match in _WARNING.finditer(text):
            self._warn(re.sub(r"\\(.)", r"\1", match[1]))


async def read_error(answer: Answer) -> errors.PolongError:
    """What a non-2xx answer means, from its body where that is a Status."""
    data = await answer.data()
    try:
        status = json.loads(data)
    except (ValueError, RecursionError):
        status = None
    return error_of(answer.status, status if isinstance(status, dict) else None, data.decode("utf-8", "replace"))


def _with(options: ListOptions, *, limit: int) -> ListOptions:
    return ListOptions(options.labels, options.fields, limit, options.continue_, options.resource_version, options.resource_version_match)
