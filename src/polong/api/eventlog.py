"""Events that the API's own components report: one object for what repeats, counted. Source: client-go tools/record."""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict
from typing import Any

from polong.api.objectstore import ObjectStore
from polong.api.resources.events import Events
from polong.kit import ids
from polong.kit.clock import Clock, rfc3339
from polong.kit.errors import AlreadyExists, PolongError

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_EVENTS = Events()
_REMEMBERED = 1024


class EventLog:
    """`component` is who reports."""

    def __init__(self, store: ObjectStore, clock: Clock, component: str) -> None:
        self._store = store
        self._clock = clock
        self._component = component
        self._known: OrderedDict[tuple[str, str, str], tuple[str, str]] = OrderedDict()

    async def record(self, obj: Json, reason: str, message: str, *, warning: bool = False) -> None:
        """Never fails: what cannot be recorded is logged."""
        metadata = obj["metadata"]
        namespace = metadata.get("namespace") or "default"
        key = (metadata.get("uid", ""), reason, message)
        try:
            if not await self._again(self._known.get(key)):
                self._known[key] = await self._first(obj, namespace, reason, message, warning)
                if len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        except PolongError as error:
            _log.warning("cannot record event %s of %s/%s: %s", reason, namespace, metadata["name"], error)

    async def _again(self, known: tuple[str, str] | None) -> bool:
        found = await self._store.find(_EVENTS, *known) if known else None
        if found is None:
            return False
        event, revision = found
        counted = {**event, "count": int(event.get("count", 1)) + 1, "lastTimestamp": rfc3339(self._clock.now())}
        await self._store.update(_EVENTS, counted, revision)
        return True

    async def _first(self, obj: Json, namespace: str, reason: str, message: str, warning: bool) -> tuple[str, str]:
        now, metadata = rfc3339(self._clock.now()), obj["metadata"]
        while True:
            name = f"{metadata['name']}.{secrets.token_hex(8)}"
            event = {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": namespace, "uid": ids.uid(), "creationTimestamp": now},
                "involvedObject": {
                    "kind": obj["kind"],
                    "apiVersion": obj["apiVersion"],
                    "name": metadata["name"],
                    **{field: metadata[field] for field in ("namespace", "uid", "resourceVersion") if metadata.get(field)},
                },
                "reason": reason,
                "message": message,
                "type": "Warning" if warning else "Normal",
                "source": {"component": self._component},
                "reportingComponent": self._component,
                "reportingInstance": "",
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
            }
            try:
                await self._store.create(_EVENTS, event)
            except AlreadyExists:
                continue
            return namespace, name
