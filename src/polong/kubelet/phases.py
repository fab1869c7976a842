"""The phase of a Pod from the states of its containers. Pure.

Source: kubelet getPhase; docs "Pod lifecycle". `ended` says that the Pod will not run again: only then may it be Succeeded or Failed
under restartPolicy Always.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]

PENDING, RUNNING, SUCCEEDED, FAILED = "Pending", "Running", "Succeeded", "Failed"


def _kind(status: Json) -> str:
    state = status.get("state") or {}
    if "running" in state:
        return "running"
    if "terminated" in state:
        return "succeeded" if state["terminated"]["exitCode"] == 0 else "failed"
    last = (status.get("lastState") or {}).get("terminated")
    if last is None:
        return "waiting"
    return "succeeded" if last["exitCode"] == 0 else "failed"


def pod_phase(restart_policy: str, expected: int, statuses: Sequence[Json], *, ended: bool = False) -> str:
    """`expected` is the number of containers of the spec: one without a status counts as waiting."""
    kinds = [_kind(each) for each in statuses]
    waiting = kinds.count("waiting") + expected - len(kinds)
    running, succeeded, failed = (kinds.count(each) for each in ("running", "succeeded", "failed"))
    if ended and not running:
        return SUCCEEDED if succeeded and not failed and not waiting else FAILED
    if waiting or not kinds:
        return PENDING
    if running or restart_policy == "Always":
        return RUNNING
    if not failed:
        return SUCCEEDED
    return FAILED if restart_policy == "Never" else RUNNING
