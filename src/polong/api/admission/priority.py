"""Priority: a Pod's priority is its class's, and nobody's own choice. Source: plugin/pkg/admission/priority."""

from __future__ import annotations

from polong.api.admission.chain import Attempt, Json, Plugin
from polong.api.resources.priorityclasses import PriorityClasses
from polong.objects.gvk import PODS

_CLASSES = PriorityClasses()
_PREEMPT = "PreemptLowerPriority"
_COMPUTED = "; priority admission controller computed {} from the given PriorityClass name"


class Priority(Plugin):
    async def mutate(self, attempt: Attempt) -> None:
        if attempt.kind.resource != PODS or attempt.subresource:
            return
        spec = attempt.obj["spec"]
        if attempt.old is not None:
            for field in ("priority", "preemptionPolicy"):
                if field in attempt.old["spec"]:
                    spec.setdefault(field, attempt.old["spec"][field])
            return
        found = await self._class(attempt, spec.get("priorityClassName") or "")
        priority, policy = (found["value"], found.get("preemptionPolicy", _PREEMPT)) if found else (0, _PREEMPT)
        if spec.get("priority", priority) != priority:
            text = f"the integer value of priority ({spec['priority']}) must not be provided in pod spec"
            raise attempt.forbidden(text + _COMPUTED.format(priority))
        if spec.get("preemptionPolicy", policy) != policy:
            text = f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec"
            raise attempt.forbidden(text + _COMPUTED.format(policy))
        spec["priority"], spec["preemptionPolicy"] = priority, policy
        if found:
            spec["priorityClassName"] = found["metadata"]["name"]

    async def _class(self, attempt: Attempt, name: str) -> Json | None:
        """The class that is named, else the default one, if there is any."""
        if name:
            found = await attempt.store.find(_CLASSES, "", name)
            if found is None:
                raise attempt.forbidden(f"no PriorityClass with name {name} was found")
            return found[0]
        # Two defaults can only come about by an update race: the lower one counts, as in Kubernetes.
        return min(await _defaults(attempt), key=lambda each: int(each["value"]), default=None)

    async def validate(self, attempt: Attempt) -> None:
        if attempt.kind.resource != _CLASSES.resource or not attempt.obj.get("globalDefault"):
            return
        for other in await _defaults(attempt):
            name = other["metadata"]["name"]
            if name != attempt.obj["metadata"]["name"]:
                raise attempt.forbidden(f"PriorityClass {name} is already marked as default. Only one default can exist")


async def _defaults(attempt: Attempt) -> list[Json]:
    return [each for each in (await attempt.store.page(_CLASSES, "")).items if each.get("globalDefault")]
