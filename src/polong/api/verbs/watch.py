"""watch: changes from a revision on, as the reader's selectors see them. Source: API concepts "efficient detection of changes"."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from polong.api import status
from polong.api.service import Response
from polong.api.stored import Stored
from polong.api.tables import table as tables
from polong.api.verbs import answers
from polong.api.verbs.call import Call, Selection
from polong.api.verbs.list import wanted_revision
from polong.kit.errors import Cause, Gone, Invalid
from polong.store.interface import Event, Watch

Json = dict[str, Any]

BOOKMARK_SECONDS = 30.0
MIN_SECONDS = 1800
INITIAL_END = "k8s.io/initial-events-end"


class _Reader:
    """Store events to watch events of one reader: selectors, forms, types."""

    def __init__(self, call: Call, selection: Selection, policy: str) -> None:
        self._call = call
        self._selection = selection
        self._policy = policy
        self._first = True

    def event(self, kind: str, stored: Stored) -> Json:
        return {"type": kind, "object": self._form(stored)}

    def _form(self, stored: Stored) -> Json | msgspec.Raw:
        form = self._call.form
        if form.kind == "Table":
            definitions, self._first = self._first, False
            made = answers.rows(self._call, [stored], self._policy)
            metadata = {"resourceVersion": str(stored.revision)}
            return tables.table(self._call.kind.columns, made, metadata, form.version, definitions=definitions)
        return answers.of_stored(self._call, stored)

    def bookmark(self, revision: int, *, initial_end: bool = False) -> Json:
        metadata: Json = {"resourceVersion": str(revision)}
        if self._call.kind.resource.namespaced:
            metadata["creationTimestamp"] = None
        if initial_end:
            metadata["annotations"] = {INITIAL_END: "true"}
        resource = self._call.kind.resource
        bare = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if self._call.form.kind == "Table":
            empty = tables.table(self._call.kind.columns, [], metadata, self._call.form.version, definitions=self._first)
            return {"type": "BOOKMARK", "object": {**empty, "rows": [{"cells": [], "object": bare}] if initial_end else []}}
        if self._call.form.kind == "PartialObjectMetadata":
            bare |= {"kind": "PartialObjectMetadata", "apiVersion": self._call.form.api_version}
        return {"type": "BOOKMARK", "object": bare}

    def matches(self, stored: Stored) -> bool:
        return not self._selection or self._selection.chooses(self._call.kind, stored)

    def translate(self, change: Event) -> Json | None:
        """What the change is for this reader; None where it concerns no object that it sees."""
        store, kind = self._call.store, self._call.kind
        now = None if change.value is None else store.stored(kind, change.key, change.value, change.revision)
        sees_now = now is not None and self.matches(now)
        if change.previous is None or (change.type == "update" and not self._selection):
            return self.event("ADDED" if change.previous is None else "MODIFIED", now) if sees_now and now is not None else None
        # The object before the change, at the change's revision: what a DELETED event carries.
        before = store.stored(kind, change.key + "\0before", change.previous, change.revision)
        saw_before = self.matches(before)
        if sees_now and now is not None:
            return self.event("MODIFIED" if saw_before else "ADDED", now)
        return self.event("DELETED", before) if saw_before else None


async def watch(call: Call) -> Response:
    """An endless answer of events; ends after timeoutSeconds (by default half an hour and more)."""
    selection, policy = call.selection(), answers.include_object(call)
    if call.target.name:
        selection = _narrowed(selection, call.target.name)
    reader = _Reader(call, selection, policy)
    initial, revision = await _start(call)
    seconds = call.number("timeoutSeconds") or MIN_SECONDS + random.randrange(MIN_SECONDS)
    bookmarks = call.flag("allowWatchBookmarks")
    events = _events(call, reader, initial, revision, seconds, bookmarks=bookmarks)
    return Response(200, events=events, headers=answers.warning_headers(call.warnings))


def _narrowed(selection: Selection, name: str) -> Selection:
    return Selection(selection.labels, type(selection.fields)((*selection.fields.clauses, ("metadata.name", True, name))))


async def _start(call: Call) -> tuple[Sequence[Stored] | None, int]:
    """What is sent first (None where only changes are wanted), and the revision from which changes follow."""
    text, send = call.query.get("resourceVersion", ""), "sendInitialEvents" in call.query
    if send:
        if call.query.get("resourceVersionMatch") != "NotOlderThan" or not call.flag("allowWatchBookmarks"):
            detail = "sendInitialEvents requires resourceVersionMatch=NotOlderThan and allowWatchBookmarks=true"
            cause = Cause("FieldValueForbidden", f"Forbidden: {detail}", "sendInitialEvents")
            raise Invalid(f"sendInitialEvents: {cause.message}", causes=(cause,))
    elif call.query.get("resourceVersionMatch"):
        text_ = "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        raise Invalid(f"resourceVersionMatch: {text_}", causes=(Cause("FieldValueForbidden", text_, "resourceVersionMatch"),))
    await wanted_revision(call)
    if (send and call.flag("sendInitialEvents")) or (not send and text in ("", "0")):
        page = await call.store.page(call.kind, call.target.namespace)
        return page.stored, page.revision
    return None, int(text or 0) or await call.store.revision()


async def _events(
    call: Call, reader: _Reader, initial: Sequence[Stored] | None, revision: int, seconds: int, *, bookmarks: bool
) -> AsyncIterator[Json]:
    deadline = asyncio.get_running_loop().time() + seconds
    changes = call.store.watch(call.kind, call.target.namespace, revision)
    try:
        for stored in initial or ():
            if reader.matches(stored):
                yield reader.event("ADDED", stored)
        if initial is not None and call.flag("sendInitialEvents"):
            yield reader.bookmark(revision, initial_end=True)
        async for event in _changes(call, reader, changes, deadline, bookmarks=bookmarks):
            yield event
    except Gone as error:
        yield {"type": "ERROR", "object": status.failure(Gone(f"too old resource version: {revision} ({error.message})"))}
    finally:
        await changes.aclose()


async def _changes(call: Call, reader: _Reader, changes: Watch, deadline: float, *, bookmarks: bool) -> AsyncIterator[Json]:
    loop = asyncio.get_running_loop()
    next_bookmark = loop.time() + BOOKMARK_SECONDS if bookmarks else deadline
    while True:
        upto = await call.store.revision()
        due = loop.time() >= min(next_bookmark, deadline)
        try:
            async with asyncio.timeout_at(loop.time() if due else min(next_bookmark, deadline)):
                change = await anext(changes)
        except StopAsyncIteration:
            return
        except TimeoutError:
            if not due:
                continue
            # Nothing waited when time was up: all changes up to `upto` have been sent.
            if bookmarks:
                yield reader.bookmark(upto)
            if loop.time() >= deadline:
                return
            next_bookmark = loop.time() + BOOKMARK_SECONDS
            continue
        if (event := reader.translate(change)) is not None:
            yield event
