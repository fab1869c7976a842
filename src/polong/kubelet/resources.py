"""CPU, memory and OOM score of containers, as the kernel wants them. Pure.

Source: kubelet cm/helpers_linux.go (shares, quota), qos/policy.go (oom_score_adj).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from polong.kubelet.observation import Applied
from polong.objects import pod as pods
from polong.objects import quantity

Json = dict[str, Any]

PERIOD = 100_000
MIN_SHARES, MAX_SHARES = 2, 262_144
MIN_QUOTA = 1_000
GUARANTEED_SCORE, BEST_EFFORT_SCORE = -997, 1_000


@dataclass(frozen=True)
class Machine:
    """`memory` in bytes, `milli_cpu` in thousandths; `lowest_score` is the lowest oom_score_adj that may be set here: the daemon's own
    where it lacks CAP_SYS_RESOURCE."""

    memory: int
    milli_cpu: int
    lowest_score: int = -1_000


@dataclass(frozen=True)
class Demand:
    """Requests and limits; None where not given."""

    milli_request: int | None
    milli_limit: int | None
    memory_request: int | None
    memory_limit: int | None


def bounded(pod: Json, container: Json) -> Json:
    """A container without limits of its own has those of its Pod, where that has any. Source: kuberuntime getCPULimit, getMemoryLimit."""
    whole = (pods.spec(pod).get("resources") or {}).get("limits") or {}
    own = (container.get("resources") or {}).get("limits") or {}
    missing = {name: whole[name] for name in ("cpu", "memory") if name in whole and name not in own}
    if not missing or pods.is_ephemeral(pod, container):
        return container
    resources = dict(container.get("resources") or {})
    # What is not requested stays so: only a limit of its own makes a request.
    requests = dict.fromkeys(missing, "0") | (resources.get("requests") or {})
    return {**container, "resources": {**resources, "limits": {**own, **missing}, "requests": requests}}


def demand(container: Json) -> Demand:
    """A request that is not given is the limit."""
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    milli_limit = quantity.milli(limits["cpu"]) if "cpu" in limits else None
    memory_limit = quantity.value(limits["memory"]) if "memory" in limits else None
    milli_request = quantity.milli(requests["cpu"]) if "cpu" in requests else milli_limit
    memory_request = quantity.value(requests["memory"]) if "memory" in requests else memory_limit
    return Demand(milli_request, milli_limit, memory_request, memory_limit)


def shares(milli: int) -> int:
    return min(max(milli * 1024 // 1000, MIN_SHARES), MAX_SHARES)


def quota(milli: int) -> int:
    return max(milli * PERIOD // 1000, MIN_QUOTA)


def milli_of_shares(given: int) -> int:
    """What `shares` made them of; rounded up."""
    return -(-given * 1000 // 1024)


def milli_of_quota(given: int) -> int:
    return given * 1000 // PERIOD


def applied(pod: Json, container: Json) -> Applied:
    """What the kernel is told of its requests and limits."""
    wanted = demand(bounded(pod, container))
    limit = quota(wanted.milli_limit) if wanted.milli_limit else 0
    return Applied(shares(wanted.milli_request or 0), limit, wanted.memory_limit or 0)


def _share(pod: Json) -> int:
    """Of what the Pod requests as a whole and no container does: an equal part each. Source: qos remainingReqPerContainer."""
    own = ((pods.spec(pod).get("resources") or {}).get("requests") or {}).get("memory")
    if own is None:
        return 0
    containers = [*pods.init_containers(pod), *pods.containers(pod)]
    left = quantity.value(own) - sum(demand(each).memory_request or 0 for each in containers)
    return max(left, 0) // max(len(containers), 1)


def oom_score(pod: Json, container: Json, machine: Machine) -> int:
    kind = pods.qos_class(pod)
    if kind == "Guaranteed":
        score = GUARANTEED_SCORE
    elif kind == "BestEffort":
        score = BEST_EFFORT_SCORE
    else:
        request = (demand(container).memory_request or 0) + _share(pod)
        score = 1_000 - 1_000 * request // max(machine.memory, 1)
        score = min(max(score, 1_000 + GUARANTEED_SCORE), BEST_EFFORT_SCORE - 1)
    return max(score, machine.lowest_score)


@dataclass(frozen=True)
class PodLimits:
    """What the Pod's own cgroup gets; None: no limit, because one of the containers has none."""

    shares: int
    quota: int | None
    period: int
    memory: int | None

    def widest(self, other: PodLimits) -> PodLimits:
        """Under which both sets of containers have room."""

        def most(one: int | None, two: int | None) -> int | None:
            return None if one is None or two is None else max(one, two)

        return PodLimits(max(self.shares, other.shares), most(self.quota, other.quota), self.period, most(self.memory, other.memory))


def pod_limits(pod: Json) -> PodLimits:
    wanted = [demand(each) for each in (*pods.init_containers(pod), *pods.containers(pod))]
    request = _at_most(pod, lambda each: each.milli_request or 0)
    cpu = None
    if wanted and all(each.milli_limit for each in wanted):
        cpu = quota(_at_most(pod, lambda each: each.milli_limit or 0))
    memory = None
    if wanted and all(each.memory_limit for each in wanted):
        memory = _at_most(pod, lambda each: each.memory_limit or 0)
    own = demand({"resources": pods.spec(pod).get("resources")})
    if own.milli_request is not None:
        request = own.milli_request
    cpu = quota(own.milli_limit) if own.milli_limit else cpu
    return PodLimits(shares(request), cpu, PERIOD, own.memory_limit or memory)


def _at_most(pod: Json, amount: Callable[[Demand], int]) -> int:
    """Of what runs at one time: an init container beside the side-cars before it, or all that lasts. Source: KEP-753."""
    beside = peak = 0
    for container in pods.init_containers(pod):
        own = amount(demand(container))
        peak = max(peak, beside + own)
        if pods.is_sidecar(container):
            beside += own
    return max(peak, sum(amount(demand(each)) for each in pods.lasting(pod)))
