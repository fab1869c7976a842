"""core/v1 Service. Addresses and node ports: admission/serviceaddresses.py; who answers: controllers/services.py.

Source: pkg/apis/core/v1/defaults.go (SetDefaults_Service), pkg/registry/core/service (strategy, patch of allocated values).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polong.api.resources import metadata, service_validation
from polong.api.resources.kind import STATUS, Context, Kind, Subresource
from polong.api.tables import services as columns
from polong.kit.errors import Cause
from polong.objects import names, service
from polong.objects.gvk import SERVICES

Json = dict[str, Any]

_AFFINITY_SECONDS = 10_800
PROXY = ("create", "delete", "get", "patch", "update")


class Services(Kind):
    resource = SERVICES
    singular = "service"
    short_names = ("svc",)
    categories = ("all",)
    columns = columns.COLUMNS
    subresources = (
        Subresource("proxy", "ServiceProxyOptions", PROXY),
        Subresource("status", "Service", STATUS, stored=True),
    )
    answers_deleted = True

    def name_errors(self, name: str) -> list[str]:
        return names.dns_1035_errors(name)

    def fields(self, obj: Json) -> Mapping[str, str]:
        spec = obj.get("spec") or {}
        return {**super().fields(obj), "spec.clusterIP": spec.get("clusterIP", ""), "spec.type": spec.get("type", "")}

    def default(self, obj: Json, context: Context) -> None:
        spec = obj.setdefault("spec", {})
        kind = spec.setdefault("type", "ClusterIP")
        affinity = spec.setdefault("sessionAffinity", "None")
        if affinity == "ClientIP":
            client = (spec.setdefault("sessionAffinityConfig", {})).setdefault("clientIP", {})
            client.setdefault("timeoutSeconds", _AFFINITY_SECONDS)
        elif affinity == "None":
            spec.pop("sessionAffinityConfig", None)
        for port in spec.get("ports") or ():
            port.setdefault("protocol", "TCP")
            port.setdefault("port", 0)
            if not port.get("targetPort"):
                port["targetPort"] = port["port"]
        if kind in ("NodePort", "LoadBalancer"):
            spec.setdefault("externalTrafficPolicy", "Cluster")
        if kind == "LoadBalancer":
            spec.setdefault("allocateLoadBalancerNodePorts", True)
        if kind != "ExternalName":
            spec.setdefault("internalTrafficPolicy", "Cluster")
        _one_address(spec)

    def prepare_create(self, obj: Json, context: Context) -> None:
        obj["status"] = {"loadBalancer": {}}

    def prepare_update(self, new: Json, old: Json, subresource: str) -> None:
        super().prepare_update(new, old, subresource)
        if not subresource:
            _keep_allocated(new.setdefault("spec", {}), old["spec"])

    def validate(self, obj: Json) -> Sequence[Cause]:
        causes = metadata.validate(obj, self.name_errors, namespaced=True)
        return [*causes, *service_validation.validate(obj["spec"])]

    def validate_update(self, new: Json, old: Json, subresource: str) -> Sequence[Cause]:
        return () if subresource else tuple(service_validation.validate_update(new["spec"], old["spec"]))


def _one_address(spec: Json) -> None:
    """`clusterIP` and `clusterIPs` say the same; there is one family."""
    if spec.get("type") == "ExternalName":
        return
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")


def _keep_allocated(new: Json, old: Json) -> None:
    """What was allocated goes on where the client does not say otherwise, and goes with the type that needed it."""
    kind, before = new.get("type") or "ClusterIP", old.get("type")
    if kind == "ExternalName":
        if before != "ExternalName" and new.get("clusterIP") in (None, "", old.get("clusterIP")):
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
                new.pop(field, None)
    elif before != "ExternalName" and not new.get("clusterIP") and not new.get("clusterIPs"):
        new["clusterIP"] = old.get("clusterIP", "")
        new["clusterIPs"] = list(old.get("clusterIPs") or ())
    had = {(port.get("protocol", "TCP"), port["port"]): port["nodePort"] for port in old.get("ports") or () if port.get("nodePort")}
    wants = service.has_node_ports({"spec": new})
    for port in new.get("ports") or ():
        kept = had.get((port.get("protocol", "TCP"), port.get("port")))
        if wants and not port.get("nodePort") and kept:
            port["nodePort"] = kept
        elif not wants and kept and port.get("nodePort") == kept:
            del port["nodePort"]
    if not wants and service.has_node_ports({"spec": old}):
        for field in ("externalTrafficPolicy", "allocateLoadBalancerNodePorts"):
            if new.get(field) == old.get(field):
                new.pop(field, None)
