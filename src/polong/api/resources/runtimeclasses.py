"""node.k8s.io/v1 RuntimeClass. What it means for a Pod: admission/runtimeclass.py. Source: pkg/apis/node/validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polong.api.resources import fields, metadata, pod_validation
from polong.api.resources.kind import Kind
from polong.api.tables.columns import AGE, NAME, Column
from polong.kit.errors import Cause
from polong.objects import names, quantity
from polong.objects.gvk import RUNTIME_CLASSES

Json = dict[str, Any]


class RuntimeClasses(Kind):
    resource = RUNTIME_CLASSES
    singular = "runtimeclass"
    columns = (
        NAME,
        Column("Handler", lambda runtime, _: str(runtime.get("handler", "")), description="The runtime of the node that it stands for."),
        AGE,
    )

    def validate(self, obj: Json) -> Sequence[Cause]:
        causes = metadata.validate(obj, self.name_errors, namespaced=False)
        handler = obj.get("handler", "")
        causes += [fields.invalid("handler", handler, error) for error in names.dns_label_errors(handler)]
        for name, amount in ((obj.get("overhead") or {}).get("podFixed") or {}).items():
            path = fields.key("overhead.podFixed", name)
            causes += [fields.invalid(path, name, error) for error in names.qualified_name_errors(name)]
            if quantity.parse(amount) < 0:
                causes.append(fields.invalid(path, amount, "must be greater than or equal to 0"))
        scheduling = obj.get("scheduling") or {}
        causes += metadata.label_causes("scheduling.nodeSelector", scheduling.get("nodeSelector") or {})
        seen: list[Json] = []
        for index, toleration in enumerate(scheduling.get("tolerations") or ()):
            path = fields.at("scheduling.tolerations", index)
            causes += pod_validation.toleration_causes(toleration, path)
            if toleration in seen:
                causes.append(fields.duplicate(path, toleration))
            seen.append(toleration)
        return causes

    def validate_update(self, new: Json, old: Json, subresource: str) -> Sequence[Cause]:
        if new.get("handler") != old.get("handler"):
            return (fields.invalid("handler", new.get("handler", ""), "field is immutable"),)
        return ()
