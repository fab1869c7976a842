"""`describe` of what limits Pods: ResourceQuotas, LimitRanges, PriorityClasses; and of the namespace that they are in."""

from __future__ import annotations

from typing import Any

from polong.cli.describe_text import Text, labels, pairs
from polong.cli.durations import rfc1123

Json = dict[str, Any]

_SCOPES = {
    "Terminating": "Matches all pods that have an active deadline. These pods have a limited lifespan on a node before being actively "
    "terminated by the system.",
    "NotTerminating": "Matches all pods that do not have an active deadline. These pods usually include long running pods whose container "
    "command is not expected to terminate.",
    "BestEffort": "Matches all pods that do not have resource requirements set. These pods have a best effort quality of service.",
    "NotBestEffort": "Matches all pods that have at least one resource requirement set. These pods have a burstable or guaranteed quality "
    "of service.",
}
_AMOUNTS = ("min", "max", "defaultRequest", "default", "maxLimitRequestRatio")
_TITLES = "Resource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio"
_RULE = "--------\t---\t---\t---------------\t-------------\t-----------------------"


def namespace(obj: Json, all_quotas: list[Json], all_limits: list[Json]) -> Text:
    metadata, status = obj.get("metadata", {}), obj.get("status", {})
    text = Text()
    text.line(0, f"Name:\t{metadata.get('name', '')}")
    labels(text, "Labels", metadata.get("labels"))
    pairs(text, "Annotations", metadata.get("annotations"))
    text.line(0, f"Status:\t{status.get('phase', '')}")
    if status.get("conditions"):
        text.line(0, "Conditions:")
        text.line(1, "Type\tStatus\tLastTransitionTime\tReason\tMessage")
        text.line(1, "----\t------\t------------------\t------\t-------")
        for one in status["conditions"]:
            moment = rfc1123(one.get("lastTransitionTime"))
            text.line(1, f"{one.get('type')}\t{one.get('status')}\t{moment}\t{one.get('reason', '')}\t{one.get('message', '')}")
    text.line(0, "")
    _quotas(text, all_quotas)
    text.line(0, "")
    _limits(text, all_limits)
    return text


def quota(obj: Json) -> Text:
    text = Text()
    text.line(0, f"Name:\t{obj['metadata'].get('name', '')}")
    text.line(0, f"Namespace:\t{obj['metadata'].get('namespace', '')}")
    _used(text, 0, obj, " * ", "----")
    return text


def _quotas(text: Text, found: list[Json]) -> None:
    if not found:
        text.line(0, "No resource quota.")
        return
    text.line(0, "Resource Quotas")
    for each in sorted(found, key=lambda one: str(one["metadata"].get("name", ""))):
        text.line(1, f"Name:\t{each['metadata'].get('name', '')}")
        _used(text, 1, each, "* ", "---")


def _used(text: Text, level: int, obj: Json, bullet: str, rule: str) -> None:
    scopes = sorted((obj.get("spec") or {}).get("scopes") or ())
    if scopes:
        text.line(level, f"Scopes:\t{', '.join(scopes)}")
        for scope in scopes:
            if scope in _SCOPES:
                text.line(level, f"{bullet}{_SCOPES[scope]}")
    text.line(level, "Resource\tUsed\tHard")
    text.line(level, f"--------\t{rule}\t{rule}")
    status = obj.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    for name in sorted(hard):
        text.line(level, f"{name}\t{used.get(name, '0')}\t{hard[name]}")


def limit_range(obj: Json) -> Text:
    text = Text()
    text.line(0, f"Name:\t{obj['metadata'].get('name', '')}")
    text.line(0, f"Namespace:\t{obj['metadata'].get('namespace', '')}")
    text.line(0, f"Type\t{_TITLES}")
    text.line(0, f"----\t{_RULE}")
    _items(text, obj, "")
    return text


def _limits(text: Text, found: list[Json]) -> None:
    if not found:
        text.line(0, "No LimitRange resource.")
        return
    text.line(0, "Resource Limits")
    text.line(0, f" Type\t{_TITLES}")
    text.line(0, f" ----\t{_RULE}")
    for each in found:
        _items(text, each, " ")


def _items(text: Text, obj: Json, prefix: str) -> None:
    for item in (obj.get("spec") or {}).get("limits") or ():
        for name in sorted({name for part in _AMOUNTS for name in item.get(part) or {}}):
            cells = "\t".join(str((item.get(part) or {}).get(name, "-")) for part in _AMOUNTS)
            text.line(0, f"{prefix}{item.get('type', '')}\t{name}\t{cells}")


def priority_class(obj: Json) -> Text:
    metadata, text = obj.get("metadata", {}), Text()
    text.line(0, f"Name:\t{metadata.get('name', '')}")
    text.line(0, f"Value:\t{obj.get('value', 0)}")
    text.line(0, f"GlobalDefault:\t{'true' if obj.get('globalDefault') else 'false'}")
    text.line(0, f"PreemptionPolicy:\t{obj.get('preemptionPolicy', '')}")
    text.line(0, f"Description:\t{obj.get('description', '')}")
    annotations = [f"{key}={value}".strip() for key, value in sorted((metadata.get("annotations") or {}).items())]
    text.line(0, f"Annotations:\t{','.join(annotations) or '<none>'}")
    text.line(0, "")
    return text
