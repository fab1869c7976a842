"""Environment of a container: $(VAR) expansion and the downward API. Pure.

Source: Kubernetes' expansion grammar (docs "Define Dependent Environment Variables"); kubelet makeEnvironmentVariables.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from polong.kit.errors import Invalid
from polong.objects import pod as pods
from polong.objects import quantity

Json = dict[str, Any]

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]")


@dataclass(frozen=True)
class Addresses:
    pod_ips: Sequence[str] = ()
    host_ips: Sequence[str] = ()


@dataclass(frozen=True)
class Allocatable:
    """What the node can give: CPU in thousandths, memory in bytes. Limits default to it in the downward API."""

    milli_cpu: int = 0
    memory: int = 0


def expand(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` becomes its value where it has one and stays as it is where not; `$$` is a dollar."""

    def replace(match: re.Match[str]) -> str:
        if match.group(1) is None:
            return "$"
        return values.get(match.group(1), match.group(0))

    return _REFERENCE.sub(replace, text)


def environment(pod: Json, container: Json, addresses: Addresses, node: Allocatable) -> dict[str, str]:
    """Name to value in the order of the spec; an entry may refer to those before it. Invalid (CreateContainerConfigError) where a
    source cannot be resolved."""
    values: dict[str, str] = {}
    for entry in container.get("env") or ():
        source = entry.get("valueFrom")
        values[entry["name"]] = (
            expand(entry.get("value") or "", values) if source is None else _resolve(pod, container, source, addresses, node)
        )
    return values


def _resolve(pod: Json, container: Json, source: Json, addresses: Addresses, node: Allocatable) -> str:
    if reference := source.get("fieldRef"):
        return field(pod, reference["fieldPath"], addresses)
    if reference := source.get("resourceFieldRef"):
        return resource(pod, container, reference, node)
    raise Invalid(f"unsupported source of an environment variable: {', '.join(source)}", reason="CreateContainerConfigError")


def field(pod: Json, path: str, addresses: Addresses) -> str:
    """The text of a downward API fieldPath."""
    metadata, spec = pod["metadata"], pods.spec(pod)
    if match := _SUBSCRIPT.fullmatch(path):
        return str((metadata.get(match.group(1)) or {}).get(match.group(2), ""))
    simple = {
        "metadata.name": pods.name(pod),
        "metadata.namespace": pods.namespace(pod),
        "metadata.uid": pods.uid(pod),
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


def resource(pod: Json, container: Json, reference: Json, node: Allocatable) -> str:
    """limits.cpu, requests.memory and so on, in units of `divisor`, rounded up; a limit that is not set is what the node can give."""
    name = reference.get("containerName")
    of = container if not name else pods.find_container(pod, name)
    if of is None:
        raise Invalid(f"container {name} not found", reason="CreateContainerConfigError")
    kind, _, item = reference["resource"].partition(".")
    given = (of.get("resources") or {}).get(kind) or {}
    if item not in ("cpu", "memory") or kind not in ("limits", "requests"):
        raise Invalid(f"unsupported resource: {reference['resource']}", reason="CreateContainerConfigError")
    if item in given:
        amount = quantity.parse(given[item])
    elif kind == "limits":
        amount = Fraction(node.milli_cpu, 1000) if item == "cpu" else Fraction(node.memory)
    else:
        limits = (of.get("resources") or {}).get("limits") or {}
        amount = quantity.parse(limits[item]) if item in limits else Fraction(0)
    divisor = quantity.parse(reference.get("divisor") or "1") or Fraction(1)
    return str(math.ceil(amount / divisor))
