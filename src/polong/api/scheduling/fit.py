"""Whether a Pod can run on a node, and if not, why, in the words of kube-scheduler. Pure.

Source: pkg/scheduler/framework/plugins (nodeunschedulable, tainttoleration, nodeaffinity, nodeports, noderesources).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from polong.objects import pod as pods
from polong.objects import podresources, quantity, requirements
from polong.objects.podreferences import CLAIM, of_pod
from polong.objects.podresources import Amounts

Json = dict[str, Any]

UNSCHEDULABLE = "node.kubernetes.io/unschedulable"

HostPort = tuple[str, str, int]
"""(address, protocol, port)."""


@dataclass(frozen=True, slots=True)
class Placed:
    """What Pods ask of each other when one has, or wants, a place: no more of a Pod is kept for that."""

    namespace: str
    labels: Mapping[str, str]
    node: str
    requests: Amounts
    ports: tuple[HostPort, ...]
    claims: frozenset[str]
    shuns: Sequence[Json]
    """Terms of its required anti-affinity."""
    is_terminating: bool

    @classmethod
    def of(cls, pod: Json) -> Placed:
        spec = pods.spec(pod)
        return cls(
            pods.namespace(pod),
            pod["metadata"].get("labels") or {},
            str(spec.get("nodeName", "")),
            podresources.reserved(pod),
            tuple(host_ports(pod)),
            frozenset(reference.name for reference in of_pod(pod) if reference.kind == CLAIM),
            required(pod, "podAntiAffinity"),
            pods.is_terminating(pod),
        )


def required(pod: Json, affinity: str) -> Sequence[Json]:
    """The terms of podAffinity or podAntiAffinity that must hold."""
    return ((pods.spec(pod).get("affinity") or {}).get(affinity) or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or ()


@dataclass
class Crowd:
    """The Pods of one node, added up: a decision must not cost more on a full node."""

    count: int = 0
    used: Amounts = field(default_factory=dict)
    ports: list[HostPort] = field(default_factory=list)

    def add(self, placed: Placed) -> None:
        self.count += 1
        for name, amount in placed.requests.items():
            self.used[name] = self.used.get(name, Fraction(0)) + amount
        self.ports += placed.ports

    def remove(self, placed: Placed) -> None:
        self.count -= 1
        for name, amount in placed.requests.items():
            self.used[name] -= amount
        for port in placed.ports:
            self.ports.remove(port)


def host_ports(pod: Json) -> Iterator[HostPort]:
    for part, _, container in pods.all_containers(pod):
        if part == "ephemeralContainers":
            continue
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield (port.get("hostIP") or "0.0.0.0", port.get("protocol", "TCP"), int(port["hostPort"]))


def refusals(pod: Json, wanted: Placed, node: Json, there: Crowd) -> list[str]:
    """Why the Pod cannot run on the node beside those that are `there`; empty where it can. Kubernetes stops at the first kind of
    reason, except for resources, of which all that lack are said."""
    spec = pods.spec(pod)
    tolerations = spec.get("tolerations") or ()
    node_spec = node.get("spec") or {}
    if node_spec.get("unschedulable") and not _tolerated({"key": UNSCHEDULABLE, "effect": "NoSchedule"}, tolerations):
        return ["node(s) were unschedulable"]
    for taint in node_spec.get("taints") or ():
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not _tolerated(taint, tolerations):
            return [f"node(s) had untolerated taint {{{taint.get('key', '')}: {taint.get('value', '')}}}"]
    if not _selected(spec, node):
        return ["node(s) didn't match Pod's node affinity/selector"]
    if any(_clash(port, other) for port in wanted.ports for other in there.ports):
        return ["node(s) didn't have free ports for the requested pod ports"]
    return list(_lacking(wanted, node, there))


def _tolerated(taint: Json, tolerations: Sequence[Json]) -> bool:
    return any(tolerates(each, taint) for each in tolerations)


def tolerates(toleration: Json, taint: Json) -> bool:
    """Source: component-helpers Toleration.ToleratesTaint."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if (toleration.get("operator") or "Equal") == "Exists":
        return True
    return bool((toleration.get("value") or "") == (taint.get("value") or ""))


def _selected(spec: Json, node: Json) -> bool:
    name, labels = node["metadata"]["name"], node["metadata"].get("labels") or {}
    if any(labels.get(label) != value for label, value in (spec.get("nodeSelector") or {}).items()):
        return False
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or requirements.node_matches(required.get("nodeSelectorTerms") or (), name, labels)


def _clash(port: HostPort, other: HostPort) -> bool:
    """The same port, at one address or at all of them."""
    everywhere = "0.0.0.0"
    return port[1:] == other[1:] and (port[0] == other[0] or everywhere in (port[0], other[0]))


def _lacking(wanted: Placed, node: Json, there: Crowd) -> Iterator[str]:
    allocatable = {name: quantity.parse(amount) for name, amount in ((node.get("status") or {}).get("allocatable") or {}).items()}
    if not allocatable:  # it has not said yet what it has
        return
    if there.count + 1 > allocatable.get("pods", Fraction(0)):
        yield "Too many pods"
    for name, amount in sorted(wanted.requests.items()):
        if amount and there.used.get(name, Fraction(0)) + amount > allocatable.get(name, Fraction(0)):
            yield f"Insufficient {name}"
