"""coordination.k8s.io/v1 Lease: the node's heartbeat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polong.api.resources import fields, metadata
from polong.api.resources.kind import Context, Kind
from polong.api.tables.columns import AGE, NAME, Column
from polong.kit.errors import Cause
from polong.objects.gvk import Resource

Json = dict[str, Any]


class Leases(Kind):
    resource = Resource("coordination.k8s.io", "v1", "leases", "Lease")
    singular = "lease"
    columns = (
        NAME,
        Column("Holder", lambda lease, _: str((lease.get("spec") or {}).get("holderIdentity", "")), description="Who holds the lease."),
        AGE,
    )
    unconditional_update = False

    def default(self, obj: Json, context: Context) -> None:
        obj.setdefault("spec", {})

    def validate(self, obj: Json) -> Sequence[Cause]:
        causes = metadata.validate(obj, self.name_errors, namespaced=True)
        duration = obj["spec"].get("leaseDurationSeconds")
        if duration is not None and duration <= 0:
            causes.append(fields.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
        transitions = obj["spec"].get("leaseTransitions")
        if transitions is not None and transitions < 0:
            causes.append(fields.invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0"))
        return causes
