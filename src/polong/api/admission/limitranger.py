"""LimitRanger: what a Pod leaves open is filled in from the namespace's LimitRanges, and held against them.

Source: plugin/pkg/admission/limitranger (texts included).
"""

from __future__ import annotations

from collections.abc import Iterator

from polong.api.admission.chain import Attempt, Json, Plugin
from polong.api.resources.limitranges import LimitRanges
from polong.objects import podresources, quantity
from polong.objects.gvk import PODS
from polong.objects.podresources import Amounts

_LIMITS = LimitRanges()
_ANNOTATION = "kubernetes.io/limit-ranger"
_CLAIMS = "persistentvolumeclaims"


class LimitRanger(Plugin):
    async def mutate(self, attempt: Attempt) -> None:
        if not attempt.creates(PODS):
            return
        for limits in await _ranges(attempt):
            _fill_in(attempt.obj, limits)

    async def validate(self, attempt: Attempt) -> None:
        resource = attempt.kind.resource
        resizes = attempt.subresource == "resize"
        if resource != PODS and resource.plural != _CLAIMS:
            return
        if (attempt.subresource and not resizes) or (resource == PODS and attempt.old is not None and not resizes):
            return
        for limits in await _ranges(attempt):
            check = _pod if resource == PODS else _claim
            errors = [error for item in limits["spec"]["limits"] for error in check(attempt.obj, item)]
            if errors:
                raise attempt.forbidden(errors[0] if len(errors) == 1 else f"[{', '.join(dict.fromkeys(errors))}]")


async def _ranges(attempt: Attempt) -> list[Json]:
    return list((await attempt.store.page(_LIMITS, attempt.namespace)).items)


def _fill_in(pod: Json, limits: Json) -> None:
    """Requests and limits of containers that have none, and an annotation that says so."""
    defaults: dict[str, Json] = {"requests": {}, "limits": {}}
    for item in limits["spec"]["limits"]:
        if item.get("type") == "Container":
            defaults["requests"] |= item.get("defaultRequest") or {}
            defaults["limits"] |= item.get("default") or {}
    said = []
    for field, word in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(field) or ():
            for part in ("requests", "limits"):
                given = container.setdefault("resources", {}).get(part) or {}
                missing = {name: amount for name, amount in defaults[part].items() if name not in given}
                if missing:
                    container["resources"][part] = {**given, **missing}
                    said.append(f"{', '.join(sorted(missing))} {part.removesuffix('s')} for {word} {container.get('name', '')}")
    if said:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[_ANNOTATION] = "LimitRanger plugin set: " + "; ".join(said)


def _pod(pod: Json, item: Json) -> Iterator[str]:
    kind = item.get("type", "")
    if kind == "Container":
        for field in ("containers", "initContainers"):
            for container in pod["spec"].get(field) or ():
                resources = container.get("resources") or {}
                yield from _constraints(item, kind, _parsed(resources.get("requests")), _parsed(resources.get("limits")))
    elif kind == "Pod":
        yield from _constraints(item, kind, podresources.total(pod, "requests"), podresources.total(pod, "limits"))


def _claim(claim: Json, item: Json) -> Iterator[str]:
    kind = item.get("type", "")
    if kind != "PersistentVolumeClaim":
        return
    asked = _parsed(((claim["spec"].get("resources")) or {}).get("requests"))
    for bound, below in (("min", True), ("max", False)):
        for name, amount in (item.get(bound) or {}).items():
            word = f"{'minimum' if below else 'maximum'} {name} usage per {kind} is {amount}"
            if name not in asked:
                yield f"{word}.  No request is specified"
            elif (asked[name] < quantity.parse(amount)) if below else (asked[name] > quantity.parse(amount)):
                yield f"{word}, but request is {podresources.text(name, asked[name])}"


def _parsed(amounts: Json | None) -> Amounts:
    return {name: quantity.parse(amount) for name, amount in (amounts or {}).items()}


def _constraints(item: Json, kind: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, amount in (item.get("min") or {}).items():
        word, bound = f"minimum {name} usage per {kind} is {amount}", quantity.parse(amount)
        if name not in requests:
            yield f"{word}.  No request is specified"
        elif requests[name] < bound:
            yield f"{word}, but request is {podresources.text(name, requests[name])}"
        elif name in limits and limits[name] < bound:
            yield f"{word}, but limit is {podresources.text(name, limits[name])}"
    for name, amount in (item.get("max") or {}).items():
        word, bound = f"maximum {name} usage per {kind} is {amount}", quantity.parse(amount)
        if name not in limits:
            yield f"{word}.  No limit is specified"
        elif limits[name] > bound:
            yield f"{word}, but limit is {podresources.text(name, limits[name])}"
        elif name in requests and requests[name] > bound:
            yield f"{word}, but request is {podresources.text(name, requests[name])}"
    for name, amount in (item.get("maxLimitRequestRatio") or {}).items():
        word = f"{name} max limit to request ratio per {kind} is {amount}, but"
        if not requests.get(name):
            yield f"{word} no request is specified or request is 0"
        elif not limits.get(name):
            yield f"{word} no limit is specified or limit is 0"
        elif limits[name] / requests[name] > quantity.parse(amount):
            yield f"{word} provided ratio is {float(limits[name] / requests[name]):f}"
