"""What an object costs against a quota, and which quotas it counts for. Pure.

Source: pkg/quota/v1/evaluator/core (pods.go, services.go, persistent_volume_claims.go), apiserver pkg/quota/v1/generic.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from polong.objects import pod as pods
from polong.objects import podresources, quantity
from polong.objects.gvk import PODS, Resource
from polong.objects.podresources import Amounts

Json = dict[str, Any]

_ONE = Fraction(1)
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
# What every container must say where a quota counts it: a mistake that Kubernetes keeps for those who rely on it.
_REQUIRED = frozenset({"cpu", "memory", *(f"{part}.{name}" for part in ("requests", "limits") for name in ("cpu", "memory"))})


def usage(resource: Resource, obj: Json) -> Amounts:
    """By the names of ResourceQuota's spec.hard."""
    count = f"count/{resource.plural}.{resource.group}" if resource.group else f"count/{resource.plural}"
    counted = {count: _ONE}
    if resource == PODS:
        return counted if pods.is_finished(obj) else counted | _of_pod(obj)
    if resource.group:
        return counted
    counted[resource.plural] = _ONE
    if resource.plural == "services":
        counted |= _of_service(obj.get("spec") or {})
    elif resource.plural == "persistentvolumeclaims":
        counted |= _of_claim(obj.get("spec") or {})
    return counted


def _of_pod(pod: Json) -> Amounts:
    found = {"pods": _ONE}
    for part in ("requests", "limits"):
        for name, amount in podresources.total(pod, part).items():
            found[f"{part}.{name}"] = amount
            if part == "requests" and name in _COMPUTE:
                found[name] = amount
    return found


def _of_service(spec: Json) -> Amounts:
    kind, ports = spec.get("type", "ClusterIP"), Fraction(len(spec.get("ports") or ()))
    if kind == "LoadBalancer":
        return {"services.loadbalancers": _ONE, "services.nodeports": ports}
    return {"services.nodeports": ports} if kind == "NodePort" else {}


def _of_claim(spec: Json) -> Amounts:
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    found = {"requests.storage": quantity.parse(asked)} if asked else {}
    if name := spec.get("storageClassName"):
        prefix = f"{name}.storageclass.storage.k8s.io/"
        found |= {prefix + each: amount for each, amount in found.items()} | {prefix + "persistentvolumeclaims": _ONE}
    return found


def counts(quota: Json, resource: Resource, obj: Json) -> bool:
    """Whether the quota's scopes take the object in: all of them must, and only Pods have any."""
    spec = quota.get("spec") or {}
    chosen = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    chosen += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    if not chosen:
        return True
    return resource == PODS and all(_in_scope(obj, one) for one in chosen)


def _in_scope(pod: Json, chosen: Json) -> bool:
    spec = pods.spec(pod)
    match chosen.get("scopeName"):
        case "Terminating":
            return spec.get("activeDeadlineSeconds") is not None
        case "NotTerminating":
            return spec.get("activeDeadlineSeconds") is None
        case "BestEffort":
            return pods.qos_class(pod) == "BestEffort"
        case "NotBestEffort":
            return pods.qos_class(pod) != "BestEffort"
        case "PriorityClass":
            return _selected(spec.get("priorityClassName") or "", chosen)
        case "CrossNamespacePodAffinity":
            return _crosses(spec.get("affinity") or {})
    return False


def _selected(name: str, chosen: Json) -> bool:
    values = chosen.get("values") or ()
    return {
        "In": name in values and bool(name),
        "NotIn": name not in values,
        "Exists": bool(name),
        "DoesNotExist": not name,
    }.get(str(chosen.get("operator")), False)


def _crosses(affinity: Json) -> bool:
    terms: list[Json] = []
    for kind in ("podAffinity", "podAntiAffinity"):
        found = affinity.get(kind) or {}
        terms += found.get("requiredDuringSchedulingIgnoredDuringExecution") or []
        weighted = found.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [each.get("podAffinityTerm") or {} for each in weighted]
    return any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms)


def unsaid(pod: Json, hard: Iterable[str]) -> str:
    """`must specify cpu for: a,b; memory for: a` where containers leave out what a quota counts; empty where they do not."""
    missing: dict[str, set[str]] = {}
    own = pods.spec(pod).get("resources") or {}
    together = {f"{part}.{name}" for part in ("requests", "limits") for name in own.get(part) or {}} | set(own.get("requests") or ())
    for field in ("containers", "initContainers"):
        for container in pods.spec(pod).get(field) or ():
            resources = container.get("resources") or {}
            said = {f"{part}.{name}" for part in ("requests", "limits") for name in resources.get(part) or {}}
            said |= set(resources.get("requests") or ())
            for name in set(hard) & _REQUIRED - said - together:
                missing.setdefault(name, set()).add(str(container.get("name", "")))
    texts = [f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing)]
    return f"must specify {'; '.join(texts)}" if texts else ""
