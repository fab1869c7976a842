"""In-place resize: which containers of a Pod do not have yet what the Pod was given, and what is to be done for it. Pure.

What a Pod was given (its allocation) is in the spec that plans are made from; what an instance got is remembered when it is made and when
it is resized, and read from the runtime where nobody remembers. Source: KEP-1287, kubelet kuberuntime_manager computePodResizeAction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from polong.kubelet.decisions import Memory, Resize
from polong.kubelet.observation import Applied, Container, Observation
from polong.kubelet.resources import MIN_SHARES, PodLimits, applied, bounded, milli_of_quota, milli_of_shares, pod_limits
from polong.objects import pod as pods
from polong.objects import podresources, quantity

Json = dict[str, Any]

RESIZABLE = ("cpu", "memory")
DEFERRED, INFEASIBLE = "Deferred", podresources.INFEASIBLE
PENDING, IN_PROGRESS = podresources.RESIZE_PENDING, "PodResizeInProgress"


@dataclass(frozen=True)
class Pending:
    """Why a Pod has not what it asks for. `reason` is Deferred or Infeasible."""

    reason: str
    message: str


@dataclass
class Grant:
    """One Pod's. `allocated` by container name, `actuated` by container id, `limits` of its cgroup as they were set last."""

    allocated: dict[str, Json]
    actuated: dict[str, Json] = field(default_factory=dict)
    limits: PodLimits | None = None
    pending: Pending | None = None
    pod: Json = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    over: bool = False
    turn: int = 0


def is_resizable(pod: Json, container: Json) -> bool:
    """Regular containers and side-cars."""
    return pods.is_sidecar(container) or not (pods.is_init(pod, container) or pods.is_ephemeral(pod, container))


def given(container: Json) -> Json:
    """Its resources as the allocation keeps them."""
    found: Json = container.get("resources") or {}
    return found


def effective(pod: Json, container: Json) -> Json:
    """As `given`, with the limits that it has from its Pod."""
    return given(bounded(pod, container))


def lacking(pod: Json, container: Json, latest: Container, actuated: Mapping[str, Json]) -> frozenset[str]:
    """cpu and memory of which this instance has not what it was given."""
    if (held := actuated.get(latest.id)) is not None:
        return frozenset(name for name in RESIZABLE if _amounts(held, name) != _amounts(effective(pod, container), name))
    if latest.applied is None:
        return frozenset()
    wanted = applied(pod, container)
    cpu = (latest.applied.shares, latest.applied.quota) != (wanted.shares, wanted.quota)
    memory = latest.applied.memory != wanted.memory
    return frozenset(name for name, differs in (("cpu", cpu), ("memory", memory)) if differs)


def _amounts(resources: Json, name: str) -> tuple[object, ...]:
    found = ((resources.get(part) or {}).get(name) for part in ("requests", "limits"))
    return tuple(None if each is None else quantity.parse(each) for each in found)


def restarts(container: Json, names: frozenset[str]) -> bool:
    """Whether resizing these takes a restart, by the container's resizePolicy."""
    return any(each.get("resourceName") in names and each.get("restartPolicy") == "RestartContainer" for each in _policies(container))


def _policies(container: Json) -> list[Json]:
    return container.get("resizePolicy") or []


def outstanding(pod: Json, seen: Observation, memory: Memory) -> tuple[str, ...]:
    """The ids of running instances that have not what they were given."""
    found = []
    for container in pods.lasting(pod):
        latest = seen.latest(container["name"])
        if latest is not None and latest.state == "running" and lacking(pod, container, latest, memory.actuated):
            found.append(latest.id)
    return tuple(found)


def resize(pod: Json, seen: Observation, memory: Memory) -> Resize | None:
    """What is to be set in place: limits of the Pod's own cgroup, and of containers that need no restart for it."""
    names = {each["name"]: each for each in pods.lasting(pod)}
    ids = []
    for container_id in outstanding(pod, seen, memory):
        latest = next(each for each in seen.containers if each.id == container_id)
        container = names[latest.name]
        if not restarts(container, lacking(pod, container, latest, memory.actuated)):
            ids.append(container_id)
    moved = memory.limits is not None and memory.limits != pod_limits(pod)
    return Resize(tuple(ids)) if ids or moved else None


def reported(pod: Json, container: Json, latest: Container, actuated: Mapping[str, Json]) -> Json:
    """status.resources: what the instance has, in the words of its allocation where that comes to the same."""
    wanted = {part: dict(amounts) for part, amounts in given(container).items() if part in ("requests", "limits")}
    if latest.state != "running" or latest.applied is None:
        return wanted
    requests, limits = wanted.get("requests", {}), wanted.get("limits", {})
    held = (actuated.get(latest.id) or {}).get("requests") or {}
    if "memory" in held and "memory" in requests:
        requests["memory"] = held["memory"]
    _correct(requests, limits, latest.applied, applied(pod, container))
    return {part: amounts for part, amounts in (("limits", limits), ("requests", requests)) if amounts}


def _correct(requests: Json, limits: Json, has: Applied, wanted: Applied) -> None:
    if has.shares != wanted.shares and ("cpu" in requests or has.shares > MIN_SHARES):
        requests["cpu"] = quantity.canonical(f"{milli_of_shares(has.shares)}m")
    if has.quota != wanted.quota:
        _set(limits, "cpu", f"{milli_of_quota(has.quota)}m" if has.quota else "")
    if has.memory != wanted.memory:
        _set(limits, "memory", podresources.text("memory", Fraction(has.memory)) if has.memory else "")


def _set(limits: Json, name: str, amount: str) -> None:
    limits.pop(name, None)
    if amount:
        limits[name] = quantity.canonical(amount)


def summary(pod: Json, error: str = "") -> str:
    """What Events of a resize end with. Source: kubelet events/pod_resize.go."""
    found: Json = {"resources": pods.spec(pod)["resources"]} if pods.spec(pod).get("resources") else {}
    for kind in ("initContainers", "containers"):
        rows = [{"name": each["name"], "resources": given(each)} for each in pods.spec(pod).get(kind) or () if is_resizable(pod, each)]
        if rows:
            found[kind] = rows
    found["generation"] = pod["metadata"].get("generation", 0)
    if error:
        found["error"] = error
    return json.dumps(found, separators=(",", ":"))
