"""What a Service must satisfy, in Kubernetes' words. Pure. Source: pkg/apis/core/validation (ValidateService, validateServicePort …)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from polong.api.resources import fields, metadata
from polong.kit.errors import Cause
from polong.objects import names
from polong.objects.service import HEADLESS

Json = dict[str, Any]

PROTOCOLS = ("SCTP", "TCP", "UDP")
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_POLICIES = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
_AFFINITIES = ("ClientIP", "None")
_MAX_AFFINITY = 86_400
_UNSUPPORTED = ("externalIPs", "healthCheckNodePort", "loadBalancerClass", "loadBalancerIP", "loadBalancerSourceRanges")
_PORT_RANGE = "must be between 1 and 65535, inclusive"


def validate(spec: Json) -> Iterator[Cause]:
    """Of a defaulted `spec`."""
    kind, headless = spec["type"], spec.get("clusterIP") == HEADLESS
    if kind not in _TYPES:
        yield fields.unsupported("spec.type", kind, _TYPES)
    if not spec.get("ports") and not headless and kind != "ExternalName":
        yield fields.required("spec.ports")
    if kind in ("LoadBalancer", "NodePort") and headless:
        yield fields.invalid("spec.clusterIPs[0]", HEADLESS, f"may not be set to 'None' for {kind} services")
    if kind == "ExternalName":
        yield from _external(spec)
    yield from _ports(spec)
    yield from metadata.label_causes("spec.selector", spec.get("selector") or {})
    yield from _affinity(spec)
    yield from _addresses(spec)
    yield from _policies(spec)
    for field in _UNSUPPORTED:
        if spec.get(field):
            yield fields.forbidden(f"spec.{field}", "Polong does not support this field yet")


def _external(spec: Json) -> Iterator[Cause]:
    if spec.get("clusterIP") or spec.get("clusterIPs"):
        yield fields.forbidden("spec.clusterIPs", "may not be set for ExternalName services")
    name = str(spec.get("externalName", "")).removesuffix(".")
    if not name:
        yield fields.required("spec.externalName")
    for error in names.dns_subdomain_errors(name) if name else ():
        yield fields.invalid("spec.externalName", name, error)


def _ports(spec: Json) -> Iterator[Cause]:
    ports = spec.get("ports") or ()
    taken: set[str] = set()
    served: set[tuple[str, int]] = set()
    on_nodes: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        path = fields.at("spec.ports", index)
        yield from _port(port, path, taken, named=len(ports) > 1)
        node_port = port.get("nodePort") or 0
        if node_port and spec["type"] == "ClusterIP":
            yield fields.forbidden(f"{path}.nodePort", "may not be used when `type` is 'ClusterIP'")
        if (port["protocol"], port["port"]) in served:
            yield fields.duplicate(path, {"protocol": port["protocol"], "port": port["port"]})
        served.add((port["protocol"], port["port"]))
        if node_port and (port["protocol"], node_port) in on_nodes:
            yield fields.duplicate(f"{path}.nodePort", node_port)
        on_nodes.add((port["protocol"], node_port))


def _port(port: Json, path: str, taken: set[str], *, named: bool) -> Iterator[Cause]:
    name = port.get("name", "")
    if named and not name:
        yield fields.required(f"{path}.name")
    elif name:
        for error in names.dns_label_errors(name):
            yield fields.invalid(f"{path}.name", name, error)
        if name in taken:
            yield fields.duplicate(f"{path}.name", name)
        taken.add(name)
    if not 1 <= port["port"] <= 65535:
        yield fields.invalid(f"{path}.port", port["port"], _PORT_RANGE)
    if port["protocol"] not in PROTOCOLS:
        yield fields.unsupported(f"{path}.protocol", port["protocol"], PROTOCOLS)
    target = port["targetPort"]
    if isinstance(target, int):
        if not 1 <= target <= 65535:
            yield fields.invalid(f"{path}.targetPort", target, _PORT_RANGE)
    else:
        for error in names.port_name_errors(target):
            yield fields.invalid(f"{path}.targetPort", target, error)
    if port.get("appProtocol") is not None:
        for error in names.qualified_name_errors(port["appProtocol"]):
            yield fields.invalid(f"{path}.appProtocol", port["appProtocol"], error)


def _affinity(spec: Json) -> Iterator[Cause]:
    affinity, config = spec["sessionAffinity"], spec.get("sessionAffinityConfig")
    if affinity not in _AFFINITIES:
        yield fields.unsupported("spec.sessionAffinity", affinity, _AFFINITIES)
    elif affinity == "ClientIP":
        seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
        if seconds is None or not 1 <= seconds <= _MAX_AFFINITY:
            path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
            yield fields.invalid(path, seconds, f"must be greater than 0 and less than {_MAX_AFFINITY}")


def _addresses(spec: Json) -> Iterator[Cause]:
    if spec["type"] == "ExternalName":
        return
    first, listed = spec.get("clusterIP", ""), spec.get("clusterIPs") or []
    if listed and listed[0] != first:
        detail = "first value must match `clusterIP`" if first else "must be empty when `clusterIP` is not specified"
        yield fields.invalid("spec.clusterIPs", listed, detail)
    if len(listed) > 1:
        yield fields.invalid("spec.clusterIPs", listed, "may only hold up to 1 value: this node has one IP family")
    for index, address in enumerate(listed[:1]):
        for error in names.ip_errors(address) if address != HEADLESS else ():
            yield fields.invalid(fields.at("spec.clusterIPs", index), address, error)
    policy = spec["ipFamilyPolicy"]
    if policy not in ("PreferDualStack", "RequireDualStack", "SingleStack"):
        yield fields.unsupported("spec.ipFamilyPolicy", policy, ("PreferDualStack", "RequireDualStack", "SingleStack"))
    elif policy == "RequireDualStack":
        yield fields.invalid("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services")
    for index, family in enumerate(spec["ipFamilies"]):
        path = fields.at("spec.ipFamilies", index)
        if family not in ("IPv4", "IPv6"):
            yield fields.unsupported(path, family, ("IPv4", "IPv6"))
        elif family == "IPv6":
            yield fields.invalid(path, family, "not configured on this cluster")


def _policies(spec: Json) -> Iterator[Cause]:
    external = spec.get("externalTrafficPolicy")
    if external and spec["type"] in ("ClusterIP", "ExternalName"):
        yield fields.invalid("spec.externalTrafficPolicy", external, "may only be set for externally-accessible services")
    elif external and external not in _POLICIES:
        yield fields.unsupported("spec.externalTrafficPolicy", external, _POLICIES)
    internal = spec.get("internalTrafficPolicy")
    if internal is not None and internal not in _POLICIES:
        yield fields.unsupported("spec.internalTrafficPolicy", internal, _POLICIES)
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        yield fields.unsupported("spec.trafficDistribution", distribution, _DISTRIBUTIONS)


def validate_update(new: Json, old: Json) -> Iterator[Cause]:
    """A Service that has an address keeps it, unless it becomes a mere name."""
    if "ExternalName" in (new["type"], old["type"]):
        return
    if old.get("clusterIP") and new.get("clusterIP") != old["clusterIP"]:
        yield fields.invalid("spec.clusterIPs[0]", new.get("clusterIPs") or [], "may not change once set")
