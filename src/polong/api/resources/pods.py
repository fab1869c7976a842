"""core/v1 Pod."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

from polong.api.resources import (
    metadata,
    pod_defaults,
    pod_ephemeral,
    pod_resize,
    pod_updates,
    pod_validation,
    pod_warnings,
    pods_unsupported,
)
from polong.api.resources.kind import STATUS, Context, Kind, Subresource
from polong.api.tables import pods as columns
from polong.kit.errors import Cause
from polong.objects import apparmor, gvk
from polong.objects import pod as pods

Json = dict[str, Any]

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_FALSE_IS_ABSENT = ("hostNetwork", "hostPID", "hostIPC")
_STREAM = ("create", "get")


class Pods(Kind):
    """Bound to the node by scheduling/, in the same write wherever that is possible."""

    resource = gvk.PODS
    singular = "pod"
    short_names = ("po",)
    categories = ("all",)
    columns = columns.COLUMNS
    subresources = (
        Subresource("attach", "PodAttachOptions", _STREAM),
        Subresource("binding", "Binding", ("create",)),
        Subresource("ephemeralcontainers", "Pod", STATUS, stored=True),
        Subresource("eviction", "Eviction", ("create",), api_version="policy/v1"),
        Subresource("exec", "PodExecOptions", _STREAM),
        Subresource("log", "Pod", ("get",)),
        Subresource("portforward", "PodPortForwardOptions", _STREAM),
        Subresource("proxy", "PodProxyOptions", ("create", "delete", "get", "patch", "update")),
        Subresource("resize", "Pod", STATUS, stored=True),
        Subresource("status", "Pod", STATUS, stored=True),
    )
    answers_deleted = True
    has_generation = True

    def __init__(self, node_name: str) -> None:
        self._node_name = node_name

    def own_node(self) -> Json:
        """What is known of the node of this API before it is registered."""
        labels = {
            "kubernetes.io/arch": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "kubernetes.io/hostname": self._node_name,
            "kubernetes.io/os": "linux",
        }
        return {"metadata": {"name": self._node_name, "labels": labels}}

    def fields(self, obj: Json) -> Mapping[str, str]:
        spec, status = pods.spec(obj), pods.status(obj)
        return {
            **super().fields(obj),
            "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
            "spec.nodeName": str(spec.get("nodeName", "")),
            "spec.restartPolicy": str(spec.get("restartPolicy", "")),
            "spec.schedulerName": str(spec.get("schedulerName", "")),
            "spec.serviceAccountName": str(spec.get("serviceAccountName", "")),
            "status.nominatedNodeName": str(status.get("nominatedNodeName", "")),
            "status.phase": str(status.get("phase", "")),
            "status.podIP": str(status.get("podIP", "")),
        }

    def default(self, obj: Json, context: Context) -> None:
        spec = obj.setdefault("spec", {})
        for field in _FALSE_IS_ABSENT:
            if spec.get(field) is False:
                del spec[field]
        context.warnings.extend(pod_warnings.grace(spec))
        pod_defaults.apply(spec)

    def prepare_create(self, obj: Json, context: Context) -> None:
        obj["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
        if pods.spec(obj).get("schedulingGates"):
            text = "Scheduling is blocked due to non-empty scheduling gates"
            gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": text, "lastProbeTime": None}
            obj["status"]["conditions"] = [{**gated, "lastTransitionTime": None}]
        apparmor.adopt(obj)

    def validate(self, obj: Json) -> Sequence[Cause]:
        causes = metadata.validate(obj, self.name_errors, namespaced=True)
        causes += pod_validation.validate(obj["spec"], creating="uid" not in obj["metadata"])
        causes += pods_unsupported.refuse(obj["spec"], self._node_name)
        if not causes:
            obj["status"]["qosClass"] = pods.qos_class(obj)
        return causes

    def prepare_update(self, new: Json, old: Json, subresource: str) -> None:
        super().prepare_update(new, old, subresource)
        if subresource == "status" and "qosClass" in old["status"]:
            new.setdefault("status", {})["qosClass"] = old["status"]["qosClass"]
        if subresource == "ephemeralcontainers":
            pod_ephemeral.keep_the_rest(new, old)
        if subresource == "resize":
            pod_resize.keep_the_rest(new, old)

    def validate_update(self, new: Json, old: Json, subresource: str) -> Sequence[Cause]:
        if subresource == "ephemeralcontainers":
            return [*self.validate(new), *pod_ephemeral.validate_update(new, old)]
        if subresource == "resize":
            return [*pod_resize.validate_update(new, old)] or [*self.validate(new)]
        return list(pod_updates.validate(new["spec"], old["spec"])) if not subresource else ()

    def warnings(self, obj: Json) -> Sequence[str]:
        return pod_warnings.of_pod(obj)

    def grace_seconds(self, obj: Json, asked: int | None) -> int:
        if pods.is_finished(obj) or not pods.spec(obj).get("nodeName"):
            return 0
        grace = asked if asked is not None else int(pods.spec(obj).get("terminationGracePeriodSeconds", 30))
        return grace if grace >= 0 else 1
