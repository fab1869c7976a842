"""A PodTemplate as `kubectl get` shows it. Source: printers.go (printPodTemplate)."""

from __future__ import annotations

from typing import Any

from polong.api.tables.columns import NAME, Column, format_labels

Json = dict[str, Any]


def _containers(template: Json, field: str) -> str:
    spec = (template.get("template") or {}).get("spec") or {}
    return ",".join(str(container.get(field, "")) for container in spec.get("containers") or ())


def _labels(template: Json) -> str:
    return format_labels(((template.get("template") or {}).get("metadata") or {}).get("labels"))


COLUMNS = (
    NAME,
    Column("Containers", lambda template, _: _containers(template, "name"), description="Names of the containers."),
    Column("Images", lambda template, _: _containers(template, "image"), description="Images of the containers."),
    Column("Pod Labels", lambda template, _: _labels(template), description="Labels of the Pods to be."),
)
