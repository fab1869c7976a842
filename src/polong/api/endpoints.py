"""Who answers for a Service: Endpoints and EndpointSlices from its Pods, slices from Endpoints that somebody keeps. Pure.

Source: pkg/controller/endpoint (endpoints_controller.go), staging endpointslice (reconciler.go, utils.go), endpointslicemirroring.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from polong.objects import conditions, service
from polong.objects import pod as pods

Json = dict[str, Any]

MANAGER_LABEL = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.k8s.io"
MIRROR = "endpointslicemirroring-controller.k8s.io"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"
HEADLESS_LABEL = "service.kubernetes.io/headless"
ENDPOINTS_MANAGER = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
_IN_ONE = 100
"""Endpoints of one slice."""
_SUFFIX = 5


def selects(one: Json, pod: Json) -> bool:
    """Whether the Service's selector takes the Pod in. Without selector it takes nobody."""
    wanted = service.spec(one).get("selector") or {}
    labels: Mapping[str, str] = pod["metadata"].get("labels") or {}
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def _counts(pod: Json) -> bool:
    return bool(pods.status(pod).get("podIP")) and not pods.is_finished(pod)


def _is_ready(pod: Json) -> bool:
    return conditions.is_true(pods.status(pod).get("conditions"), "Ready")


def _ports(one: Json, pod: Json) -> tuple[tuple[str, int, str, str], ...]:
    """(name, number, protocol, application protocol) as this Pod serves them; a name that it does not have is left out."""
    found = []
    for port in service.spec(one).get("ports") or ():
        target = port.get("targetPort") or port["port"]
        number = target if isinstance(target, int) else _named(pod, target, port["protocol"])
        if number:
            found.append((port.get("name", ""), number, port["protocol"], port.get("appProtocol") or ""))
    return tuple(found)


def _named(pod: Json, name: str, protocol: str) -> int:
    for container in [*pods.containers(pod), *pods.sidecars(pod)]:
        for port in container.get("ports") or ():
            if port.get("name") == name and port.get("protocol", "TCP") == protocol:
                return int(port["containerPort"])
    return 0


def _host_name(one: Json, pod: Json) -> str:
    spec = pods.spec(pod)
    return str(spec.get("hostname") or "") if spec.get("subdomain") == one["metadata"]["name"] else ""


def _reference(pod: Json) -> Json:
    return {"kind": "Pod", "namespace": pods.namespace(pod), "name": pods.name(pod), "uid": pods.uid(pod)}


def _port_objects(ports: Iterable[tuple[str, int, str, str]], *, named: bool) -> list[Json]:
    found = []
    for name, number, protocol, application in ports:
        one: Json = {"port": number, "protocol": protocol}
        if name or named:
            one["name"] = name
        if application:
            one["appProtocol"] = application
        found.append(one)
    return found


# --- Endpoints ---------------------------------------------------------------------------------------------------------------------


def endpoints(one: Json, all_pods: Iterable[Json]) -> Json:
    """The Endpoints of a Service with a selector; without uid and the like."""
    by_ports: dict[tuple[tuple[str, int, str, str], ...], Json] = {}
    early = bool(service.spec(one).get("publishNotReadyAddresses"))
    for pod in sorted(filter(_counts, all_pods), key=_order):
        if not selects(one, pod) or (pods.is_terminating(pod) and not early):
            continue
        ports = _ports(one, pod)
        if not ports and service.spec(one).get("ports"):
            continue
        address = {"ip": pods.status(pod)["podIP"], "nodeName": pods.spec(pod).get("nodeName", ""), "targetRef": _reference(pod)}
        if name := _host_name(one, pod):
            address["hostname"] = name
        part = "addresses" if early or _is_ready(pod) else "notReadyAddresses"
        by_ports.setdefault(ports, {}).setdefault(part, []).append(address)
    subsets = [{**found, "ports": _port_objects(ports, named=False)} if ports else found for ports, found in sorted(by_ports.items())]
    made = {"apiVersion": "v1", "kind": "Endpoints", "metadata": _metadata(one, one["metadata"]["name"], ENDPOINTS_MANAGER)}
    return {**made, "subsets": subsets} if subsets else made


def _order(pod: Json) -> tuple[str, str]:
    return pods.namespace(pod), pods.name(pod)


def _metadata(one: Json, name: str, labels: Mapping[str, str]) -> Json:
    own = one["metadata"].get("labels") or {}
    more = {HEADLESS_LABEL: ""} if service.is_headless(one) else {}
    return {"name": name, "namespace": one["metadata"]["namespace"], "labels": {**own, **more, **labels}}


# --- EndpointSlices ----------------------------------------------------------------------------------------------------------------


def slices(one: Json, all_pods: Iterable[Json]) -> list[Json]:
    """The slices of a Service with a selector; one at least."""
    by_ports: dict[tuple[tuple[str, int, str, str], ...], list[Json]] = {}
    early = bool(service.spec(one).get("publishNotReadyAddresses"))
    for pod in sorted(filter(_counts, all_pods), key=_order):
        if selects(one, pod):
            by_ports.setdefault(_ports(one, pod), []).append(_endpoint(one, pod, early=early))
    made = []
    for ports, found in sorted(by_ports.items()) or [((), [])]:
        made += _cut(one, _port_objects(ports, named=True), found, (CONTROLLER, 0))
    return made


def _cut(one: Json, ports: Sequence[Json], found: Sequence[Json], origin: tuple[str, int]) -> list[Json]:
    """Slices of a hundred; one without endpoints where there are none."""
    manager, first = origin
    starts = range(0, max(len(found), 1), _IN_ONE)
    return [_slice(one, ports, found[start : start + _IN_ONE], manager, first + start) for start in starts]


def _endpoint(one: Json, pod: Json, *, early: bool) -> Json:
    serving, ending = _is_ready(pod), pods.is_terminating(pod)
    made = {
        "addresses": [pods.status(pod)["podIP"]],
        "conditions": {"ready": early or (serving and not ending), "serving": serving, "terminating": ending},
        "nodeName": pods.spec(pod).get("nodeName", ""),
        "targetRef": _reference(pod),
    }
    if name := _host_name(one, pod):
        made["hostname"] = name
    return made


def _slice(one: Json, ports: Sequence[Json], found: Sequence[Json], manager: str, start: int) -> Json:
    """Its name tells ports and place apart, so that what does not change is not written again."""
    told = repr((manager, [sorted(each.items()) for each in ports], start))
    suffix = hashlib.sha256(told.encode()).hexdigest()[:_SUFFIX]
    owner = one["metadata"]
    metadata = _metadata(one, f"{owner['name'][: 62 - _SUFFIX]}-{suffix}", {service.NAME_LABEL: owner["name"], MANAGER_LABEL: manager})
    reference = {"apiVersion": "v1", "kind": "Service", "name": owner["name"], "uid": owner["uid"]}
    metadata["ownerReferences"] = [{**reference, "controller": True, "blockOwnerDeletion": True}]
    made = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4"}
    return {**made, "endpoints": list(found), "ports": list(ports)}


def mirrored(one: Json, kept: Json) -> list[Json]:
    """Slices of Endpoints that belong to a Service without selector, as far as they are IPv4."""
    if (kept["metadata"].get("labels") or {}).get(SKIP_MIRROR) == "true":
        return []
    made = []
    for index, subset in enumerate(kept.get("subsets") or ()):
        found = []
        for part, ready in (("addresses", True), ("notReadyAddresses", False)):
            for each in subset.get(part) or ():
                found += [_mirrored(each, ready=ready)] if ":" not in each["ip"] else []
        ports = [{"name": "", **port} for port in subset.get("ports") or ()]
        made += _cut(one, ports, found, (MIRROR, index * 1000))
    return made


def _mirrored(address: Json, *, ready: bool) -> Json:
    made = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    return made | {name: address[name] for name in ("hostname", "nodeName", "targetRef") if address.get(name)}
