"""What a whole Pod asks for: requests and limits over its containers, side-cars, init containers and overhead. Pure.

Source: component-helpers resource.PodRequests and PodLimits (KEP-753: side-cars count together with what starts after them).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from polong.objects import conditions, quantity
from polong.objects.pod import container_status, spec, status

Json = dict[str, Any]
Amounts = dict[str, Fraction]

_BINARY = ("memory", "ephemeral-storage", "storage")


RESIZE_PENDING = "PodResizePending"
INFEASIBLE = "Infeasible"


def is_extended(name: str) -> bool:
    """A resource that somebody else counts, such as example.com/dongle: the node says in its status how many it has."""
    domain, slash, _ = name.partition("/")
    return bool(slash) and domain != "kubernetes.io" and not domain.endswith(".kubernetes.io") and not name.startswith("requests.")


def is_pod_level(name: str) -> bool:
    """A resource that a Pod may have of its own, beside those of its containers (KEP-2837)."""
    return name in ("cpu", "memory") or name.startswith("hugepages-")


def total(pod: Json, part: str) -> Amounts:
    """`part` is requests or limits; what the Pod says for itself goes before the sum. A limit that a container lacks counts as nothing, as
    in Kubernetes' own sums."""
    return _total(pod, part, lambda container: of(container, part))


def of_containers(pod: Json, part: str) -> Amounts:
    """As `total`, of what containers say alone, without overhead."""
    return _total({"spec": {**spec(pod), "overhead": {}}}, part, lambda container: of(container, part), own=False)


def reserved(pod: Json) -> Amounts:
    """Requests to be kept for the Pod while a resize is under way: for each container the most of what it asks for, was given and still
    holds; what it asks for in vain does not count. Source: component-helpers determineContainerReqs."""
    if not any("allocatedResources" in entry for entry in status(pod).get("containerStatuses") or ()):
        return total(pod, "requests")
    pending = conditions.find(status(pod).get("conditions"), RESIZE_PENDING)
    in_vain = pending is not None and pending.get("reason") == INFEASIBLE

    def most(container: Json) -> Amounts:
        entry = container_status(pod, container.get("name", "")) or {}
        held = _amounts(entry.get("allocatedResources"))
        _raise(held, of(entry, "requests"))
        if not in_vain or not held:
            _raise(held, of(container, "requests"))
        return held

    return _total(pod, "requests", most)


def _total(pod: Json, part: str, of_one: Callable[[Json], Amounts], *, own: bool = True) -> Amounts:
    found = spec(pod)
    together: Amounts = {}
    for container in found.get("containers") or ():
        _add(together, of_one(container))
    sidecars: Amounts = {}
    highest: Amounts = {}
    for container in found.get("initContainers") or ():
        asked = of_one(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, asked)
            _raise(highest, sidecars)
        else:
            _add(asked, sidecars)
            _raise(highest, asked)
    _add(together, sidecars)
    _raise(together, highest)
    if own:
        together |= {name: amount for name, amount in of(found, part).items() if is_pod_level(name)}
    for name, amount in (found.get("overhead") or {}).items():
        if part == "requests" or together.get(name):
            together[name] = together.get(name, Fraction(0)) + quantity.parse(amount)
    return together


def of(container: Json, part: str) -> Amounts:
    """Of one container."""
    return _amounts((container.get("resources") or {}).get(part))


def _amounts(given: Json | None) -> Amounts:
    return {name: quantity.parse(amount) for name, amount in (given or {}).items()}


def text(name: str, amount: Fraction) -> str:
    """An amount that was added up, as a quantity of its resource: memory and storage in binary units."""
    if amount.denominator == 1 and name.rpartition(".")[2] in _BINARY and int(amount) % 1024 == 0:
        return quantity.canonical(f"{int(amount) // 1024}Ki")
    return quantity.canonical(f"{math.ceil(amount * 10**9)}n")


def _add(into: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        into[name] = into.get(name, Fraction(0)) + amount


def _raise(into: Amounts, least: Amounts) -> None:
    for name, amount in least.items():
        into[name] = max(into.get(name, Fraction(0)), amount)
