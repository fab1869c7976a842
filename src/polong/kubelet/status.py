"""PodStatus from what was seen: phase, conditions, addresses, container statuses. Pure.

`pod_status` never goes backwards: a terminal phase stays, restart counts only grow, transition times change with the condition alone.
Source: kubelet generateAPIPodStatus, status/generate.go, status_manager.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from polong.kubelet import phases
from polong.kubelet.containerstatus import Circumstances, container_status, stamp
from polong.kubelet.observation import Observation
from polong.objects import conditions
from polong.objects import pod as pods

Json = dict[str, Any]

OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


def pod_status(pod: Json, seen: Observation, known: Circumstances, now: datetime) -> Json:
    """The whole status. `pod["status"]` is what was last reported; foreign conditions in it are kept."""
    old = pods.status(pod)
    before = {each["name"]: each for each in old.get("containerStatuses") or ()}
    statuses = [container_status(pod, each, before.get(each["name"]), seen, known) for each in pods.containers(pod)]
    phase = phases.pod_phase(pods.restart_policy(pod), len(pods.containers(pod)), statuses, ended=known.over or known.final)
    if old.get("phase") in (phases.SUCCEEDED, phases.FAILED):
        phase = old["phase"]
    status: Json = {
        "phase": phase,
        "startTime": old.get("startTime") or stamp(now),
        "qosClass": old.get("qosClass") or pods.qos_class(pod),
        "containerStatuses": statuses,
    }
    for key in ("reason", "message"):
        if old.get(key):
            status[key] = old[key]
    if generation := pod["metadata"].get("generation"):
        status["observedGeneration"] = generation
    status |= _addresses(pod, old, seen, known)
    status["conditions"] = _conditions(pod, old, seen, status, known.final, now)
    return status


def _addresses(pod: Json, old: Json, seen: Observation, known: Circumstances) -> Json:
    found: Json = {}
    if known.host_ips:
        found["hostIP"] = known.host_ips[0]
        found["hostIPs"] = [{"ip": each} for each in known.host_ips]
    sandbox = seen.sandbox()
    if pods.host_network(pod):
        ips: Sequence[str] = known.host_ips if sandbox is not None else ()
    else:
        ips = sandbox.ips if sandbox is not None else ()
    if ips:
        found["podIP"] = ips[0]
        found["podIPs"] = [{"ip": each} for each in ips]
    elif old.get("podIP"):
        # A Pod that has ended keeps showing the address that it had.
        found["podIP"] = old["podIP"]
        found["podIPs"] = old.get("podIPs") or [{"ip": old["podIP"]}]
    return found


def _conditions(pod: Json, old: Json, seen: Observation, status: Json, final: bool, now: datetime) -> list[Json]:
    existing = [dict(each) for each in old.get("conditions") or ()]
    sandbox = seen.sandbox()
    sandboxed = not final and sandbox is not None and sandbox.ready and (bool(sandbox.ips) or pods.host_network(pod))
    containers_ready = _containers_ready(status)
    fresh = [
        _condition("PodReadyToStartContainers", sandboxed),
        _condition("Initialized", True, "PodCompleted" if status["phase"] == phases.SUCCEEDED else ""),
        _ready(pod, existing, containers_ready),
        containers_ready,
        _condition("PodScheduled", True),
    ]
    result = [each for each in existing if each.get("type") not in OWN_CONDITIONS]
    moment = stamp(now)
    assert moment is not None
    for each in fresh:
        if generation := pod["metadata"].get("generation"):
            each["observedGeneration"] = generation
        was = conditions.find(existing, each["type"])
        same = was is not None and was.get("status") == each["status"] and was.get("lastTransitionTime")
        result.append({**each, "lastProbeTime": None, "lastTransitionTime": was["lastTransitionTime"] if was and same else moment})
    return result


def _condition(kind: str, holds: bool, reason: str = "", message: str = "") -> Json:
    condition: Json = {"type": kind, "status": "True" if holds else "False"}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def _containers_ready(status: Json) -> Json:
    if status["phase"] == phases.SUCCEEDED:
        return _condition("ContainersReady", False, "PodCompleted")
    if status["phase"] == phases.FAILED:
        return _condition("ContainersReady", False, "PodFailed")
    unready = [each["name"] for each in status["containerStatuses"] if not each["ready"]]
    if unready:
        return _condition("ContainersReady", False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    return _condition("ContainersReady", True)


def _ready(pod: Json, existing: Sequence[Json], containers_ready: Json) -> Json:
    if containers_ready["status"] != "True":
        return {**containers_ready, "type": "Ready"}
    messages = []
    for gate in pods.spec(pod).get("readinessGates") or ():
        kind = gate["conditionType"]
        found = conditions.find(existing, kind)
        if found is None:
            messages.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif found.get("status") != "True":
            messages.append(f'the status of pod readiness gate "{kind}" is not "True", but {found.get("status")}')
    if messages:
        return _condition("Ready", False, "ReadinessGatesNotReady", ", ".join(messages))
    return _condition("Ready", True)


def status_patch(pod: Json, old: Json, new: Json) -> Json | None:
    """A JSON merge patch (RFC 7396) from what was last reported to `new`, with the Pod's uid as precondition; None where nothing
    changed. Only fields that the kubelet owns are ever removed."""
    owned = ("reason", "message", "podIP", "podIPs", "hostIP", "hostIPs")
    changes: Json = {key: value for key, value in new.items() if old.get(key) != value}
    changes |= {key: None for key in owned if key in old and key not in new}
    if not changes:
        return None
    return {"metadata": {"uid": pods.uid(pod)}, "status": changes}
