"""PodSecurity: a namespace's labels say which standard its Pods must keep, and of which one a client or the audit log hears.

Source: Kubernetes docs "Pod Security Admission"; k8s.io/pod-security-admission (admission.go, api/helpers.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from polong.api import status
from polong.api.admission.chain import Attempt, Plugin
from polong.api.admission.podsecuritystandards import LATEST, Violation, evaluate
from polong.api.resources import fields
from polong.api.resources.kind import Kind
from polong.api.resources.namespaces import Namespaces
from polong.kit.errors import Cause
from polong.objects import gvk

Json = dict[str, Any]

PREFIX = "pod-security.kubernetes.io/"
_LEVELS = ("privileged", "baseline", "restricted")
_MODES = ("enforce", "audit", "warn")
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]{0,3})")
_NAMESPACES = Namespaces()
_TEMPLATES = "podtemplates"


@dataclass(frozen=True)
class Policy:
    level: str = "privileged"
    version: str = "latest"

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"

    def violations(self, spec: Json) -> list[Violation]:
        return evaluate(self.level, LATEST if self.version == "latest" else int(self.version[3:]), spec)


class PodSecurity(Plugin):
    def __init__(self, pods: Kind) -> None:
        self._pods = pods

    async def validate(self, attempt: Attempt) -> None:
        resource = attempt.kind.resource
        if resource == gvk.NAMESPACES:
            await self._namespace(attempt)
        elif resource == gvk.PODS and attempt.subresource in ("", "ephemeralcontainers"):
            if attempt.old is None or attempt.old.get("spec") != attempt.obj.get("spec"):
                await self._check(attempt, attempt.obj["spec"], enforced=True)
        elif resource.plural == _TEMPLATES and not resource.group:
            await self._check(attempt, (attempt.obj.get("template") or {}).get("spec") or {}, enforced=False)

    async def _check(self, attempt: Attempt, spec: Json, *, enforced: bool) -> None:
        found = await attempt.store.find(_NAMESPACES, "", attempt.namespace)
        labels = (found[0]["metadata"].get("labels") or {}) if found is not None else {}
        policies = {mode: policy for mode in _MODES if (policy := policy_of(labels, mode)).level != "privileged"}
        if enforced and "enforce" in policies:
            attempt.context.notes[f"{PREFIX}enforce-policy"] = str(policies["enforce"])
            if broken := policies["enforce"].violations(spec):
                raise attempt.forbidden(f"violates {_text(policies['enforce'], broken)}")
        if "audit" in policies and (broken := policies["audit"].violations(spec)):
            attempt.context.notes[f"{PREFIX}audit-violations"] = f"would violate {_text(policies['audit'], broken)}"
        if "warn" in policies and (broken := policies["warn"].violations(spec)):
            attempt.context.warnings.append(f"would violate {_text(policies['warn'], broken)}")

    async def _namespace(self, attempt: Attempt) -> None:
        labels = attempt.obj["metadata"].get("labels") or {}
        before = ((attempt.old or {}).get("metadata") or {}).get("labels") or {}
        changed = {name for name in {*labels, *before} if labels.get(name) != before.get(name)}
        if causes := [
            cause for cause in _label_causes(labels) if attempt.old is None or any(f"[{name}]" in cause.field for name in changed)
        ]:
            raise status.invalid(attempt.kind.resource, attempt.obj["metadata"]["name"], causes)
        policy = policy_of(labels, "enforce")
        if attempt.old is not None and policy != policy_of(before, "enforce"):
            attempt.context.warnings.extend(await self._existing(attempt, policy))

    async def _existing(self, attempt: Attempt, policy: Policy) -> list[str]:
        """What kubectl prints when Pods that run already would not be let in any more."""
        name = attempt.obj["metadata"]["name"]
        broken: dict[str, list[str]] = {}
        for pod in (await attempt.store.page(self._pods, name)).items:
            if violations := policy.violations(pod["spec"]):
                broken.setdefault(", ".join(one.reason for one in violations), []).append(pod["metadata"]["name"])
        if not broken:
            return []
        head = f'existing pods in namespace "{name}" violate the new PodSecurity enforce level "{policy}"'
        return [head, *(f"{_with_others(names)}: {reasons}" for reasons, names in sorted(broken.items(), key=lambda item: item[1][0]))]


def _with_others(names: list[str]) -> str:
    first, others = names[0], len(names) - 1
    return first if not others else f"{first} (and {others} other {'pod' if others == 1 else 'pods'})"


def _text(policy: Policy, broken: list[Violation]) -> str:
    return f'PodSecurity "{policy}": {", ".join(str(one) for one in broken)}'


def policy_of(labels: Mapping[str, str], mode: str) -> Policy:
    """What the labels say; the strictest where a stored label says nonsense."""
    level, version = labels.get(f"{PREFIX}{mode}"), labels.get(f"{PREFIX}{mode}-version", "latest")
    if level is None:
        return Policy()
    if level not in _LEVELS or not (version == "latest" or _VERSION.fullmatch(version)):
        return Policy("restricted") if mode == "enforce" else Policy()
    return Policy(level, version)


def _label_causes(labels: Mapping[str, str]) -> Iterator[Cause]:
    for mode in _MODES:
        name = f"{PREFIX}{mode}"
        if name in labels and labels[name] not in _LEVELS:
            yield fields.invalid(fields.key("metadata.labels", name), labels[name], f"must be one of {', '.join(_LEVELS)}")
        name = f"{name}-version"
        if name in labels and labels[name] != "latest" and not _VERSION.fullmatch(labels[name]):
            yield fields.invalid(fields.key("metadata.labels", name), labels[name], 'must be "latest" or "v1.x"')
