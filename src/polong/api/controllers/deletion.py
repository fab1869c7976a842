"""Deleting an object from inside, as the verb does: gracefully where its kind has a grace, and never past a finalizer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from polong.api.objectstore import ObjectStore
from polong.api.resources.kind import Kind
from polong.kit.clock import Clock, rfc3339
from polong.kit.errors import Conflict, NotFound

Json = dict[str, Any]


async def delete(store: ObjectStore, clock: Clock, kind: Kind, obj: Json) -> bool:
    """As far as that is possible now. Whether it is still there."""
    metadata = obj["metadata"]
    grace = kind.grace_seconds(obj, None)
    revision = int(metadata["resourceVersion"])
    try:
        if not grace and not metadata.get("finalizers"):
            await store.delete(kind, obj, revision)
            return False
        if metadata.get("deletionTimestamp"):
            return True
        marked = {**obj, "metadata": dict(metadata)}
        marked["metadata"]["deletionTimestamp"] = rfc3339(clock.now() + timedelta(seconds=grace))
        marked["metadata"]["deletionGracePeriodSeconds"] = grace
        if kind.has_generation:
            marked["metadata"]["generation"] = int(metadata.get("generation", 0)) + 1
        await store.update(kind, marked, revision)
    except Conflict:
        found = await store.find(kind, metadata.get("namespace", ""), metadata["name"])
        return found is not None and await delete(store, clock, kind, found[0])
    except NotFound:
        return False
    return True
