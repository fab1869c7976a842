"""Resources of a Pod as a whole (KEP-2837). Source: pkg/apis/core/validation (validatePodResources, validatePodResourceConsistency)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from polong.api.resources import container_validation, fields
from polong.kit.errors import Cause
from polong.objects import podresources, quantity

Json = dict[str, Any]

_PATH = "spec.resources"
_SUPPORTED = ("cpu", "memory")


def validate(spec: Json) -> Iterator[Cause]:
    """Only cpu, memory and huge pages; no less than what containers request together, no less than what one of them may use."""
    resources = spec.get("resources") or {}
    unknown = False
    for part in ("limits", "requests"):
        for name in resources.get(part) or {}:
            if not podresources.is_pod_level(name):
                unknown = True
                yield fields.unsupported(fields.key(f"{_PATH}.{part}", name), name, _SUPPORTED)
    if unknown or not resources:
        return
    yield from container_validation.resources(resources, _PATH)
    try:
        yield from _consistency(spec, resources)
    except ValueError:
        # One of the quantities is none, which is said where it stands.
        return


def _consistency(spec: Json, resources: Json) -> Iterator[Cause]:
    for name, amount in sorted(podresources.of_containers({"spec": spec}, "requests").items()):
        own = (resources.get("requests") or {}).get(name)
        if own is not None and amount > quantity.parse(own):
            text = f"must be greater than or equal to aggregate container requests of {podresources.text(name, amount)}"
            yield fields.invalid(fields.key(f"{_PATH}.requests", name), own, text)
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            for name, text in ((container.get("resources") or {}).get("limits") or {}).items():
                own = (resources.get("limits") or {}).get(name)
                if own is not None and quantity.parse(text) > quantity.parse(own):
                    where = fields.key(f"spec.{field}[{index}].resources.limits", name)
                    yield fields.invalid(where, text, f"must be less than or equal to pod limits of {own}")
