"""RuntimeClass: a Pod of a class has the class's overhead and place. Source: plugin/pkg/admission/runtimeclass."""

from __future__ import annotations

from polong.api.admission.chain import Attempt, Json, Plugin
from polong.api.resources.runtimeclasses import RuntimeClasses
from polong.objects.gvk import PODS

_CLASSES = RuntimeClasses()


class RuntimeClass(Plugin):
    async def mutate(self, attempt: Attempt) -> None:
        if not attempt.creates(PODS):
            return
        spec = attempt.obj["spec"]
        found = await _class(attempt)
        overhead = ((found or {}).get("overhead") or {}).get("podFixed")
        if overhead:
            if spec.get("overhead", overhead) != overhead:
                raise attempt.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            spec["overhead"] = dict(overhead)
        elif spec.get("overhead"):
            raise attempt.forbidden("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
        _place(attempt, spec, (found or {}).get("scheduling") or {})


async def _class(attempt: Attempt) -> Json | None:
    name = attempt.obj["spec"].get("runtimeClassName")
    if not name:
        return None
    found = await attempt.store.find(_CLASSES, "", name)
    if found is None:
        raise attempt.forbidden(f'pod rejected: RuntimeClass "{name}" not found')
    return found[0]


def _place(attempt: Attempt, spec: Json, scheduling: Json) -> None:
    for label, value in (scheduling.get("nodeSelector") or {}).items():
        own = spec.setdefault("nodeSelector", {}).setdefault(label, value)
        if own != value:
            text = f"runtimeClass.scheduling.nodeSelector[{label}] = {value}; pod.spec.nodeSelector[{label}] = {own}"
            raise attempt.forbidden(f"pod rejected: conflict: {text}")
    for toleration in scheduling.get("tolerations") or ():
        if toleration not in spec.setdefault("tolerations", []):
            spec["tolerations"].append(dict(toleration))
