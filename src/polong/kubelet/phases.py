"""The phase of a Pod from the states of its containers. Pure.

Source: kubelet getPhase; docs "Pod lifecycle". Side-cars count while they run, never by how they ended. `ended` says that the Pod will not
run again: only then may it be Succeeded or Failed where something would be restarted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from polong.kubelet.restarts import restarts_after
from polong.objects import pod as pods

Json = dict[str, Any]

PENDING, RUNNING, SUCCEEDED, FAILED = "Pending", "Running", "Succeeded", "Failed"
FINAL = (SUCCEEDED, FAILED)


def _exit(status: Json) -> int | None:
    """How its last instance ended; None while one runs, and before there was any."""
    state = status.get("state") or {}
    if "running" in state:
        return None
    last = state.get("terminated") or (status.get("lastState") or {}).get("terminated")
    return None if last is None else int(last["exitCode"])


def _waits(status: Json) -> bool:
    """It never ran."""
    return "running" not in (status.get("state") or {}) and _exit(status) is None


def _runs(status: Json) -> bool:
    return "running" in (status.get("state") or {})


def pod_phase(pod: Json, inits: Sequence[Json], regulars: Sequence[Json], *, ended: bool = False, initialized: bool = True) -> str:
    """`inits` and `regulars` are the statuses in the order of the spec; `initialized`: a regular container was made in this sandbox."""
    steps = [(each, status) for each, status in _pairs(pods.init_containers(pod), inits) if not pods.is_sidecar(each)]
    sidecars = [status for each, status in _pairs(pods.init_containers(pod), inits) if pods.is_sidecar(each)]
    running = [each for each in (*sidecars, *regulars) if _runs(each)]
    if ended and not running and not any(_runs(status) for _, status in steps):
        done = all("terminated" in status["state"] and _exit(status) == 0 for status in regulars)
        return SUCCEEDED if done and not any(_exit(status) for _, status in steps) else FAILED
    if any(_runs(status) or _waits(status) for _, status in steps):
        return PENDING
    if not initialized and any(_waits(each) or (_runs(each) and not each.get("started")) for each in sidecars):
        return PENDING
    if any(_waits(each) for each in regulars) or not regulars:
        return PENDING
    if running or any(restarts_after(pod, each, _exit(status) or 0) for each, status in _pairs(pods.containers(pod), regulars)):
        return RUNNING
    return FAILED if any(_exit(status) for status in regulars) else SUCCEEDED


def _pairs(containers: Sequence[Json], statuses: Sequence[Json]) -> Iterator[tuple[Json, Json]]:
    yield from zip(containers, statuses, strict=True)
