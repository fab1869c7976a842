"""core/v1 PodTemplate: a Pod's metadata and spec, kept for later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polong.api.resources import metadata, pod_defaults, pod_validation, pod_warnings
from polong.api.resources.kind import Context, Kind
from polong.api.tables import podtemplates as columns
from polong.kit.errors import Cause
from polong.objects.gvk import Resource

Json = dict[str, Any]


class PodTemplates(Kind):
    resource = Resource("", "v1", "podtemplates", "PodTemplate")
    singular = "podtemplate"
    columns = columns.COLUMNS
    has_generation = True
    generation_of = "template"

    def default(self, obj: Json, context: Context) -> None:
        template = obj.setdefault("template", {})
        template.setdefault("metadata", {})
        spec = template.setdefault("spec", {})
        context.warnings.extend(pod_warnings.grace(spec, "template."))
        pod_defaults.apply(spec)

    def validate(self, obj: Json) -> Sequence[Cause]:
        causes = metadata.validate(obj, self.name_errors, namespaced=True)
        template = obj["template"]
        causes += metadata.label_causes("template.labels", template["metadata"].get("labels") or {})
        causes += metadata.annotation_causes("template.annotations", template["metadata"].get("annotations") or {})
        for cause in pod_validation.validate(template["spec"], creating=True):
            causes.append(Cause(cause.reason, cause.message, f"template.{cause.field}"))
        return causes

    def warnings(self, obj: Json) -> Sequence[str]:
        return list(pod_warnings.of_template(obj["template"]))
