"""What a Pod may ask about its place: affinity and spread, in Kubernetes' words. Source: pkg/apis/core/validation (validateAffinity,
validateTopologySpreadConstraints), apimachinery ValidateLabelSelector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from polong.api.resources import fields, metadata
from polong.kit.errors import Cause
from polong.objects import names

Json = dict[str, Any]

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_SETS = ("In", "NotIn")
_ALONE = ("Exists", "DoesNotExist")
_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
_NODE_POLICIES = ("Honor", "Ignore")


def validate(spec: Json) -> Iterator[Cause]:
    affinity, path = spec.get("affinity") or {}, "spec.affinity"
    yield from _node_affinity(affinity.get("nodeAffinity") or {}, f"{path}.nodeAffinity")
    for kind in ("podAffinity", "podAntiAffinity"):
        yield from _pod_affinity(affinity.get(kind) or {}, f"{path}.{kind}")
    yield from _spread(spec.get("topologySpreadConstraints") or (), "spec.topologySpreadConstraints")


def gates(spec: Json) -> Iterator[Cause]:
    """Of a Pod that is created. Source: validateSchedulingGates, ValidatePodCreate."""
    found = spec.get("schedulingGates") or ()
    seen: set[str] = set()
    for index, gate in enumerate(found):
        path, name = f"spec.schedulingGates[{index}]", gate.get("name", "")
        for error in names.qualified_name_errors(name):
            yield fields.invalid(path, name, error)
        if name in seen:
            yield fields.duplicate(path, name)
        seen.add(name)
    if found and spec.get("nodeName"):
        yield fields.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")


def _node_affinity(affinity: Json, path: str) -> Iterator[Cause]:
    if (required := affinity.get(_REQUIRED)) is not None:
        terms = required.get("nodeSelectorTerms") or ()
        if not terms:
            yield fields.required(f"{path}.{_REQUIRED}.nodeSelectorTerms", "must have at least one node selector term")
        for index, term in enumerate(terms):
            yield from _node_term(term, f"{path}.{_REQUIRED}.nodeSelectorTerms[{index}]")
    for index, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        where = f"{path}.{_PREFERRED}[{index}]"
        yield from _weight(weighted, where)
        yield from _node_term(weighted.get("preference") or {}, f"{where}.preference")


def _weight(weighted: Json, path: str) -> Iterator[Cause]:
    if not 1 <= int(weighted.get("weight") or 0) <= 100:
        yield fields.invalid(f"{path}.weight", weighted.get("weight") or 0, "must be in the range 1-100")


def _node_term(term: Json, path: str) -> Iterator[Cause]:
    for index, one in enumerate(term.get("matchExpressions") or ()):
        yield from _expression(one, f"{path}.matchExpressions[{index}]", bounds=True)
    for index, one in enumerate(term.get("matchFields") or ()):
        where = f"{path}.matchFields[{index}]"
        if one.get("operator") not in _SETS:
            yield fields.invalid(f"{where}.operator", one.get("operator", ""), "not a valid selector operator")
        elif len(one.get("values") or ()) != 1:
            text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            yield fields.required(f"{where}.values", text)
        if one.get("key") != "metadata.name":
            yield fields.invalid(f"{where}.key", one.get("key", ""), "not a valid field selector key")


def _expression(one: Json, path: str, *, bounds: bool = False) -> Iterator[Cause]:
    operator, values = one.get("operator", ""), one.get("values") or ()
    if operator in _SETS:
        if not values:
            yield fields.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in _ALONE:
        if values:
            yield fields.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif bounds and operator in ("Gt", "Lt"):
        if len(values) != 1:
            yield fields.required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        yield fields.invalid(f"{path}.operator", operator, "not a valid selector operator")
    for error in names.qualified_name_errors(one.get("key", "")):
        yield fields.invalid(f"{path}.key", one.get("key", ""), error)


def label_selector(selector: Json | None, path: str) -> Iterator[Cause]:
    for key, value in ((selector or {}).get("matchLabels") or {}).items():
        yield from metadata.label_causes(f"{path}.matchLabels", {key: value})
    for index, one in enumerate((selector or {}).get("matchExpressions") or ()):
        yield from _expression(one, f"{path}.matchExpressions[{index}]")


def _pod_affinity(affinity: Json, path: str) -> Iterator[Cause]:
    for index, term in enumerate(affinity.get(_REQUIRED) or ()):
        yield from _pod_term(term, f"{path}.{_REQUIRED}[{index}]")
    for index, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        where = f"{path}.{_PREFERRED}[{index}]"
        yield from _weight(weighted, where)
        yield from _pod_term(weighted.get("podAffinityTerm") or {}, f"{where}.podAffinityTerm")


def _pod_term(term: Json, path: str) -> Iterator[Cause]:
    yield from label_selector(term.get("labelSelector"), f"{path}.labelSelector")
    yield from label_selector(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for name in term.get("namespaces") or ():
        for error in names.dns_label_errors(name):
            yield fields.invalid(f"{path}.namespace", name, error)
    yield from _topology_key(term, path)


def _topology_key(holder: Json, path: str) -> Iterator[Cause]:
    key = holder.get("topologyKey", "")
    if not key:
        yield fields.required(f"{path}.topologyKey", "can not be empty")
        return
    for error in names.qualified_name_errors(key):
        yield fields.invalid(f"{path}.topologyKey", key, error)


def _spread(constraints: Sequence[Json], path: str) -> Iterator[Cause]:
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(constraints):
        where = f"{path}[{index}]"
        if int(one.get("maxSkew") or 0) <= 0:
            yield fields.invalid(f"{where}.maxSkew", one.get("maxSkew") or 0, "must be greater than zero")
        yield from _topology_key(one, where)
        unsatisfiable = one.get("whenUnsatisfiable", "")
        if unsatisfiable not in _UNSATISFIABLE:
            yield fields.unsupported(f"{where}.whenUnsatisfiable", unsatisfiable, _UNSATISFIABLE)
        pair = (one.get("topologyKey", ""), unsatisfiable)
        if pair in seen:
            yield fields.duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", f"{{{pair[0]}, {pair[1]}}}")
        seen.add(pair)
        if (domains := one.get("minDomains")) is not None:
            if domains <= 0:
                yield fields.invalid(f"{where}.minDomains", domains, "must be greater than zero")
            elif unsatisfiable != "DoNotSchedule":
                text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {unsatisfiable}"
                yield fields.invalid(f"{where}.minDomains", domains, text)
        for policy in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if one.get(policy) is not None and one[policy] not in _NODE_POLICIES:
                yield fields.unsupported(f"{where}.{policy}", one[policy], _NODE_POLICIES)
        yield from label_selector(one.get("labelSelector"), f"{where}.labelSelector")
