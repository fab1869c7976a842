"""core/v1 ResourceQuota. What it means for others: admission/resourcequota.py. Source: pkg/apis/core/validation (…ResourceQuota…)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from polong.api.resources import fields, metadata
from polong.api.resources.kind import STATUS, Context, Kind, Subresource
from polong.api.tables import resourcequotas as columns
from polong.kit.errors import Cause
from polong.objects import names, quantity
from polong.objects.gvk import Resource

Json = dict[str, Any]

COMPUTE = frozenset({"cpu", "memory", "ephemeral-storage"}) | {
    f"{part}.{name}" for part in ("requests", "limits") for name in ("cpu", "memory", "ephemeral-storage")
}
_COUNTED = ("configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets", "services")
_STANDARD = COMPUTE | {"requests.storage", "services.nodeports", "services.loadbalancers", *_COUNTED}
_WHOLE = frozenset({"services.nodeports", "services.loadbalancers", *_COUNTED})

SCOPES = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity")
_OF_BEST_EFFORT = frozenset({"pods"})
_OF_SCOPED = COMPUTE | {"pods"}
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_OPPOSED = (frozenset({"BestEffort", "NotBestEffort"}), frozenset({"Terminating", "NotTerminating"}))


class ResourceQuotas(Kind):
    resource = Resource("", "v1", "resourcequotas", "ResourceQuota")
    singular = "resourcequota"
    short_names = ("quota",)
    columns = columns.COLUMNS
    subresources = (Subresource("status", "ResourceQuota", STATUS, stored=True),)
    answers_deleted = True

    def default(self, obj: Json, context: Context) -> None:
        obj.setdefault("spec", {})

    def prepare_create(self, obj: Json, context: Context) -> None:
        obj["status"] = {}

    def validate(self, obj: Json) -> Sequence[Cause]:
        causes = metadata.validate(obj, self.name_errors, namespaced=True)
        spec = obj["spec"]
        for name, amount in (spec.get("hard") or {}).items():
            causes += _hard(name, amount, fields.key("spec.hard", name))
        causes += _scopes(spec)
        causes += _selector(spec)
        return causes

    def validate_update(self, new: Json, old: Json, subresource: str) -> Sequence[Cause]:
        causes = []
        if set(new["spec"].get("scopes") or ()) != set(old["spec"].get("scopes") or ()):
            causes.append(fields.invalid("spec.scopes", new["spec"].get("scopes") or [], "field is immutable"))
        if new["spec"].get("scopeSelector") != old["spec"].get("scopeSelector"):
            causes.append(fields.invalid("spec.scopeSelector", new["spec"].get("scopeSelector"), "field is immutable"))
        return causes


def _hard(name: str, amount: str, path: str) -> Iterator[Cause]:
    errors = names.qualified_name_errors(name)
    for error in errors:
        yield fields.invalid(path, name, error)
    if not errors and "/" not in name and name not in _STANDARD:
        yield fields.invalid(path, name, "must be a standard resource for quota")
    number = quantity.parse(amount)
    if number < 0:
        yield fields.invalid(path, amount, "must be greater than or equal to 0")
    if number.denominator != 1 and (name in _WHOLE or name.startswith("count/")):
        yield fields.invalid(path, amount, "must be an integer")


def _scopes(spec: Json) -> Iterator[Cause]:
    scopes = spec.get("scopes") or []
    for scope in dict.fromkeys(scopes):
        if scope not in SCOPES:
            yield fields.invalid("spec.scopes", scopes, "unsupported scope")
            continue
        for name in spec.get("hard") or {}:
            if name in _STANDARD and name not in _tracked(scope):
                yield fields.invalid("spec.scopes", scopes, f"unsupported scope applied to resource {name}")
    for pair in _OPPOSED:
        if pair <= set(scopes):
            yield fields.invalid("spec.scopes", scopes, "conflicting scopes")


def _tracked(scope: str) -> frozenset[str]:
    return _OF_BEST_EFFORT if scope == "BestEffort" else _OF_SCOPED


def _selector(spec: Json) -> Iterator[Cause]:
    selector = spec.get("scopeSelector")
    if selector is None:
        return
    path = "spec.scopeSelector.matchExpressions"
    for index, one in enumerate(selector.get("matchExpressions") or ()):
        scope, operator = one.get("scopeName", ""), one.get("operator", "")
        if scope not in SCOPES:
            yield fields.invalid(f"{path}.scopeName", scope, "unsupported scope")
        if operator not in _OPERATORS:
            yield fields.unsupported(f"{path}.operator", operator, _OPERATORS)
        elif scope != "PriorityClass" and operator != "Exists":
            text = "must be 'Exist' only operator when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
            yield fields.invalid(f"{path}.operator", operator, text + "ResourceQuotaScopeBestEffort and ResourceQuotaScopeNotBestEffort")
        if operator in ("In", "NotIn") and not one.get("values"):
            text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            yield fields.required(f"{path}[{index}].values", text)
        if operator in ("Exists", "DoesNotExist") and one.get("values"):
            text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            yield fields.invalid(f"{path}[{index}].values", one["values"], text)
