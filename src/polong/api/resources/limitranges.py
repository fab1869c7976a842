"""core/v1 LimitRange. What it means for a Pod: admission/limitranger.py. Source: pkg/apis/core/validation (ValidateLimitRange)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from polong.api.resources import fields, metadata
from polong.api.resources.kind import Context, Kind
from polong.api.tables.columns import NAME, Column
from polong.kit.errors import Cause
from polong.objects import names, quantity
from polong.objects.gvk import Resource

Json = dict[str, Any]

_LISTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")

# (smaller, larger, which of them the message is about, text); each holds where both are given. Source: ValidateLimitRange.
_ORDERED = (
    ("min", "max", "min", "min value {smaller} is greater than max value {larger}"),
    ("min", "defaultRequest", "defaultRequest", "min value {smaller} is greater than default request value {larger}"),
    ("defaultRequest", "max", "defaultRequest", "default request value {smaller} is greater than max value {larger}"),
    ("defaultRequest", "default", "defaultRequest", "default request value {smaller} is greater than default limit value {larger}"),
    ("min", "default", "default", "min value {smaller} is greater than default value {larger}"),
    ("default", "max", "default", "default value {smaller} is greater than max value {larger}"),
)


class LimitRanges(Kind):
    resource = Resource("", "v1", "limitranges", "LimitRange")
    singular = "limitrange"
    short_names = ("limits",)
    columns = (
        NAME,
        Column(
            "Created At",
            lambda limits, _: str(limits["metadata"].get("creationTimestamp", "")),
            type="date",
            description="When the object was created.",
        ),
    )

    def default(self, obj: Json, context: Context) -> None:
        obj.setdefault("spec", {}).setdefault("limits", [])
        for item in obj["spec"]["limits"]:
            if item.get("type") == "Container":
                _complete(item)

    def validate(self, obj: Json) -> Sequence[Cause]:
        causes = metadata.validate(obj, self.name_errors, namespaced=True)
        seen: set[str] = set()
        for index, item in enumerate(obj["spec"]["limits"]):
            path, kind = fields.at("spec.limits", index), item.get("type", "")
            causes += _type(kind, f"{path}.type")
            if kind in seen:
                causes.append(fields.duplicate(f"{path}.type", kind))
            seen.add(kind)
            causes += _item(item, kind, path)
        return causes


def _complete(item: Json) -> None:
    """A limit defaults to the largest allowed, a request to the limit, else to the smallest allowed."""
    for target, source in (("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")):
        for name, amount in (item.get(source) or {}).items():
            item.setdefault(target, {}).setdefault(name, amount)


def _type(kind: str, path: str) -> Iterator[Cause]:
    if not kind:
        yield fields.required(path)
        return
    errors = names.qualified_name_errors(kind)
    for error in errors:
        yield fields.invalid(path, kind, error)
    if not errors and kind not in ("Container", "PersistentVolumeClaim", "Pod") and "/" not in kind:
        yield fields.invalid(path, kind, "must be a standard limit type or fully qualified")


def _item(item: Json, kind: str, path: str) -> Iterator[Cause]:
    for part in _LISTS:
        for name in item.get(part) or {}:
            for error in names.qualified_name_errors(name):
                yield fields.invalid(fields.key(f"{path}.{part}", name), name, error)
    if kind == "Pod":
        for part in ("default", "defaultRequest"):
            if item.get(part):
                yield fields.forbidden(f"{path}.{part}", "may not be specified when `type` is 'Pod'")
    if kind == "PersistentVolumeClaim" and not {"storage"} & {*(item.get("min") or {}), *(item.get("max") or {})}:
        yield fields.required(f"{path}.limits", "either minimum or maximum storage value is required, but neither was provided")
    for name in sorted({name for part in _LISTS for name in item.get(part) or {}}):
        yield from _amounts(item, name, path)


def _amounts(item: Json, name: str, path: str) -> Iterator[Cause]:
    """That the amounts of one resource agree with each other."""
    given = {part: item[part][name] for part in _LISTS if name in (item.get(part) or {})}
    value = {part: quantity.parse(amount) for part, amount in given.items()}
    for smaller, larger, about, text in _ORDERED:
        if smaller in value and larger in value and value[smaller] > value[larger]:
            said = text.format(smaller=given[smaller], larger=given[larger])
            yield fields.invalid(fields.key(f"{path}.{about}", name), given[about], said)
    ratio = value.get("maxLimitRequestRatio")
    if ratio is None:
        return
    where, shown = fields.key(f"{path}.maxLimitRequestRatio", name), given["maxLimitRequestRatio"]
    if ratio < 1:
        yield fields.invalid(where, shown, f"ratio {shown} is less than 1")
    if value.get("min", Fraction(0)) > 0 and "max" in value and ratio > value["max"] / value["min"]:
        yield fields.invalid(where, shown, f"ratio {shown} is greater than max/min = {float(value['max'] / value['min']):f}")
