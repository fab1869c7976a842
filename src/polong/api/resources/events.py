"""Events: core/v1 and events.k8s.io/v1 over one stored form (core/v1's)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polong.api.resources import fields, metadata
from polong.api.resources.kind import Context, Kind
from polong.api.tables import events as columns
from polong.kit.errors import Cause
from polong.objects import gvk, names
from polong.objects.gvk import Resource

Json = dict[str, Any]

# events.k8s.io/v1 name -> core/v1 name, where they differ.
_RENAMED = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedCount": "count",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedSource": "source",
}
_BACK = {core: new for new, core in _RENAMED.items()}

TTL_SECONDS = 3600
"""Events are forgotten this long after their last occurrence, as by kube-apiserver's --event-ttl."""


class Events(Kind):
    resource = gvk.EVENTS
    singular = "event"
    short_names = ("ev",)
    columns = columns.COLUMNS

    def name_errors(self, name: str) -> list[str]:
        return names.dns_subdomain_errors(name)

    def fields(self, obj: Json) -> Mapping[str, str]:
        stored = self.to_storage(obj)
        involved = stored.get("involvedObject") or {}
        source = (stored.get("source") or {}).get("component") or stored.get("reportingComponent", "")
        wanted = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
        return {
            **super().fields(obj),
            **{f"involvedObject.{field}": str(involved.get(field, "")) for field in wanted},
            "reason": str(stored.get("reason", "")),
            "reportingComponent": str(stored.get("reportingComponent", "")),
            "source": str(source),
            "type": str(stored.get("type", "")),
        }

    def default(self, obj: Json, context: Context) -> None:
        obj.setdefault("type", "Normal")

    def validate(self, obj: Json) -> Sequence[Cause]:
        causes = metadata.validate(obj, self.name_errors, namespaced=True)
        stored = self.to_storage(obj)
        involved = stored.get("involvedObject") or {}
        namespace, own = involved.get("namespace", ""), obj["metadata"].get("namespace", "")
        if namespace != own and not (not namespace and own == "default"):
            causes.append(fields.invalid("involvedObject.namespace", namespace, "does not match event.namespace"))
        if len(stored.get("message", "")) > 1024 and self.resource.group:
            causes.append(fields.invalid("note", "", "can have at most 1024 characters"))
        return causes


class EventsV1(Events):
    """The same Events under their newer names; printed from the stored form."""

    resource = Resource("events.k8s.io", "v1", "events", "Event")

    def from_storage(self, obj: Json) -> Json:
        return {_BACK.get(name, name): value for name, value in obj.items()} | {"apiVersion": "events.k8s.io/v1"}

    def to_storage(self, obj: Json) -> Json:
        return {_RENAMED.get(name, name): value for name, value in obj.items()} | {"apiVersion": "v1"}
