"""The downward API: what a Pod may be told about itself, in its environment and in files. Pure.

Source: Kubernetes pkg/fieldpath, pkg/api/v1/resource.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from polong.kit.errors import Invalid
from polong.objects import pod as pods
from polong.objects import quantity

Json = dict[str, Any]

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]")
_HUGE = "hugepages-"


@dataclass(frozen=True)
class Addresses:
    pod_ips: Sequence[str] = ()
    host_ips: Sequence[str] = ()


@dataclass(frozen=True)
class Allocatable:
    """What the node can give: CPU in thousandths, memory and disk in bytes. Limits that are not set default to it."""

    milli_cpu: int = 0
    memory: int = 0
    disk: int = 0

    def of(self, resource: str) -> Fraction:
        if resource == "cpu":
            return Fraction(self.milli_cpu, 1000)
        return Fraction({"memory": self.memory, "ephemeral-storage": self.disk}.get(resource, 0))


def field(pod: Json, path: str, addresses: Addresses | None = None) -> str:
    """The text of a fieldPath; Invalid where it is not one. Without `addresses` (files) nothing of the status is known."""
    metadata, spec = pod["metadata"], pods.spec(pod)
    if match := _SUBSCRIPT.fullmatch(path):
        return str((metadata.get(match.group(1)) or {}).get(match.group(2), ""))
    if path in ("metadata.labels", "metadata.annotations"):
        return _lines(metadata.get(path.removeprefix("metadata.")) or {})
    simple = {
        "metadata.name": pods.name(pod),
        "metadata.namespace": pods.namespace(pod),
        "metadata.uid": pods.uid(pod),
    }
    if addresses is not None:
        simple |= {
            "spec.nodeName": spec.get("nodeName", ""),
            "spec.serviceAccountName": spec.get("serviceAccountName", ""),
            "status.hostIP": "".join(addresses.host_ips[:1]),
            "status.hostIPs": ",".join(addresses.host_ips),
            "status.podIP": "".join(addresses.pod_ips[:1]),
            "status.podIPs": ",".join(addresses.pod_ips),
        }
    if path not in simple:
        raise Invalid(f"unsupported fieldPath: {path}", reason="CreateContainerConfigError")
    return str(simple[path])


def _lines(values: Json) -> str:
    """key="value", one a line, in the order of the keys."""
    return "\n".join(f"{key}={json.dumps(str(values[key]), ensure_ascii=False)}" for key in sorted(values))


def resource(pod: Json, container: Json | None, reference: Json, node: Allocatable) -> str:
    """limits.cpu, requests.memory and so on, in units of `divisor`, rounded up; a limit that is not set is what the node can give.
    `container` is whose environment it is; the reference may name another one."""
    name = reference.get("containerName")
    of = container if not name else pods.find_container(pod, name)
    if of is None:
        raise Invalid(f"container {name or ''} not found", reason="CreateContainerConfigError")
    kind, _, item = reference["resource"].partition(".")
    if kind not in ("limits", "requests") or (item not in ("cpu", "memory", "ephemeral-storage") and not item.startswith(_HUGE)):
        raise Invalid(f"unsupported container resource : {reference['resource']}", reason="CreateContainerConfigError")
    given = (of.get("resources") or {}).get(kind) or {}
    amount = quantity.parse(given[item]) if item in given else Fraction(0)
    if not amount:
        limits = (of.get("resources") or {}).get("limits") or {}
        amount = _at_most(pod, item, node) if kind == "limits" else quantity.parse(limits.get(item, 0))
    divisor = quantity.parse(reference.get("divisor") or "1") or Fraction(1)
    return str(math.ceil(amount / divisor))


def _at_most(pod: Json, item: str, node: Allocatable) -> Fraction:
    """What a container without a limit may use: what its Pod may, else what the node can give."""
    whole = ((pods.spec(pod).get("resources") or {}).get("limits") or {}).get(item)
    return node.of(item) if whole is None else quantity.parse(whole)
