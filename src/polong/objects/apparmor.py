"""AppArmor profiles as Pods name them: the field `appArmorProfile`, and the annotation that was before it (Kubernetes KEP-24)."""

from __future__ import annotations

from typing import Any

from polong.objects import pod as pods

Json = dict[str, Any]

ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
_LOCALHOST = "localhost/"
_TYPES = {"runtime/default": "RuntimeDefault", "unconfined": "Unconfined"}


def from_annotation(value: str) -> Json:
    """The field that says the same; a value that is none of the annotation's becomes a type that validation refuses."""
    if value.startswith(_LOCALHOST):
        return {"type": "Localhost", "localhostProfile": value.removeprefix(_LOCALHOST)}
    return {"type": _TYPES.get(value, value)}


def adopt(pod: Json) -> None:
    """Write the field of each container that has an annotation and no field: everything else looks at fields alone. Idempotent."""
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    for _, _, container in pods.all_containers(pod):
        value = annotations.get(ANNOTATION + str(container.get("name", "")))
        if value is not None:
            context = container.get("securityContext") or {}
            container["securityContext"] = {"appArmorProfile": from_annotation(value)} | context


def required(pod: Json) -> bool:
    """Whether any container asks for a profile that a node without AppArmor cannot enforce."""
    spec = pods.spec(pod)
    contexts = [spec, *(container for _, _, container in pods.all_containers(pod))]
    profiles = [(each.get("securityContext") or {}).get("appArmorProfile") or {} for each in contexts]
    return any(each.get("type", "Unconfined") != "Unconfined" for each in profiles)
