"""Every object of a kind, followed without end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from polong.api.objectstore import ObjectStore
from polong.api.resources.kind import Kind
from polong.kit.errors import Gone

Json = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """`all` is what there is, after a list: at first, and whenever changes were lost. Else `now` is the object (None: deleted) and
    `before` what it was (None: created)."""

    all: Sequence[Json] | None = None
    now: Json | None = None
    before: Json | None = None


async def follow(store: ObjectStore, kind: Kind) -> AsyncIterator[Change]:
    while True:
        page = await store.page(kind, "")
        yield Change(all=page.items)
        changes = store.watch(kind, "", page.revision)
        try:
            async for event in changes:
                now = None if event.value is None else store.decode(kind, event.key, event.value, event.revision)
                before = None
                if event.previous is not None:
                    before = store.decode(kind, event.key + "\0before", event.previous, event.revision)
                yield Change(now=now, before=before)
        except Gone:
            continue
        finally:
            await changes.aclose()
