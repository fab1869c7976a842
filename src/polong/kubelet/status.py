"""PodStatus from what was seen: phase, conditions, addresses, container statuses. Pure.

`pod_status` never goes backwards: a terminal phase stays, restart counts only grow, transition times change with the condition alone.
Source: kubelet generateAPIPodStatus, status/generate.go, status_manager.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from polong.kubelet import phases
from polong.kubelet.containerstatus import FIELDS, Circumstances, Resizing, Scene, container_status, scene, stamp
from polong.kubelet.observation import Observation
from polong.kubelet.resize import IN_PROGRESS, PENDING
from polong.objects import conditions
from polong.objects import pod as pods

Json = dict[str, Any]

OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled", PENDING, IN_PROGRESS)


def pod_status(pod: Json, seen: Observation, known: Circumstances, now: datetime) -> Json:
    """The whole status. `pod["status"]` is what was last reported; foreign conditions in it are kept."""
    old = pods.status(pod)
    at = scene(pod, seen, known)
    statuses = _container_statuses(at)
    status: Json = {
        "phase": _phase(at, old, statuses),
        "startTime": old.get("startTime") or stamp(now),
        "qosClass": old.get("qosClass") or pods.qos_class(pod),
        **{key: entries for key, entries in statuses.items() if entries or key in old or key == "containerStatuses"},
    }
    for key in ("reason", "message"):
        if old.get(key):
            status[key] = old[key]
    if known.verdict is not None and at.ended and old.get("phase") not in phases.FINAL:
        status |= {"phase": phases.FAILED, "reason": known.verdict.reason, "message": known.verdict.message}
    if whole := pods.spec(pod).get("resources"):
        status["resources"] = old.get("resources", whole) if known.resize.running else whole
        status["allocatedResources"] = whole.get("requests") or {}
    if generation := pod["metadata"].get("generation"):
        status["observedGeneration"] = generation
    status |= _addresses(pod, old, seen, known)
    status["conditions"] = _conditions(pod, old, seen, status, known, now)
    return status


def _container_statuses(at: Scene) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {each: [] for each in FIELDS.values()}
    for kind, _, container in pods.all_containers(at.pod):
        found[FIELDS[kind]].append(container_status(at, kind, container))
    return found


def _phase(at: Scene, old: Json, statuses: dict[str, list[Json]]) -> str:
    if old.get("phase") in phases.FINAL:
        return str(old["phase"])
    sandbox = at.seen.sandbox()
    names = {each.name for each in at.seen.containers if sandbox is not None and each.sandbox_id == sandbox.id}
    initialized = any(each["name"] in names for each in pods.containers(at.pod))
    inits, regulars = statuses["initContainerStatuses"], statuses["containerStatuses"]
    return phases.pod_phase(at.pod, inits, regulars, ended=at.ended, initialized=initialized)


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


def _conditions(pod: Json, old: Json, seen: Observation, status: Json, known: Circumstances, now: datetime) -> list[Json]:
    existing = [dict(each) for each in old.get("conditions") or ()]
    sandbox = seen.sandbox()
    sandboxed = not known.final and sandbox is not None and sandbox.ready and (bool(sandbox.ips) or pods.host_network(pod))
    containers_ready = _containers_ready(pod, status)
    fresh = [
        _condition("PodReadyToStartContainers", sandboxed),
        _initialized(pod, status),
        _ready(pod, existing, containers_ready),
        containers_ready,
        _condition("PodScheduled", True),
        *(() if status["phase"] in phases.FINAL else _resizing(known.resize)),
    ]
    if known.verdict is not None and known.verdict.disruption:
        fresh.append(_condition("DisruptionTarget", True, "TerminationByKubelet", known.verdict.message))
    mine = {each["type"] for each in fresh} | set(OWN_CONDITIONS)
    result = [each for each in existing if each.get("type") not in mine]
    moment = stamp(now)
    assert moment is not None
    for each in fresh:
        if generation := pod["metadata"].get("generation"):
            each["observedGeneration"] = generation
        was = conditions.find(existing, each["type"])
        same = was is not None and was.get("status") == each["status"] and was.get("lastTransitionTime")
        result.append({**each, "lastProbeTime": None, "lastTransitionTime": was["lastTransitionTime"] if was and same else moment})
    return result


def _resizing(resize: Resizing) -> Iterator[Json]:
    if resize.pending is not None:
        yield _condition(PENDING, True, resize.pending.reason, resize.pending.message)
    if resize.running:
        yield _condition(IN_PROGRESS, True, "Error" if resize.error else "", resize.error)


def _condition(kind: str, holds: bool, reason: str = "", message: str = "") -> Json:
    condition: Json = {"type": kind, "status": "True" if holds else "False"}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def _initialized(pod: Json, status: Json) -> Json:
    if status["phase"] == phases.SUCCEEDED:
        return _condition("Initialized", True, "PodCompleted")
    if any("waiting" not in each["state"] for each in status["containerStatuses"]):
        return _condition("Initialized", True)
    incomplete = []
    for container, entry in zip(pods.init_containers(pod), status.get("initContainerStatuses") or (), strict=True):
        if not entry["started" if pods.is_sidecar(container) else "ready"]:
            incomplete.append(container["name"])
    if incomplete:
        message = f"containers with incomplete status: [{' '.join(incomplete)}]"
        return _condition("Initialized", False, "ContainersNotInitialized", message)
    return _condition("Initialized", True)


def _containers_ready(pod: Json, status: Json) -> Json:
    if status["phase"] == phases.SUCCEEDED:
        return _condition("ContainersReady", False, "PodCompleted")
    if status["phase"] == phases.FAILED:
        return _condition("ContainersReady", False, "PodFailed")
    lasting = {each["name"] for each in (*pods.sidecars(pod), *pods.containers(pod))}
    entries = [*(status.get("initContainerStatuses") or ()), *status["containerStatuses"]]
    unready = [each["name"] for each in entries if each["name"] in lasting and not each["ready"]]
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


def merged(own: Json, held: Json) -> Json:
    """The status as it was last written by us, with what others wrote beside it."""
    merged = {**held, **own}
    mine = [each for each in own.get("conditions") or () if each.get("type") in OWN_CONDITIONS]
    foreign = [each for each in held.get("conditions") or () if each.get("type") not in OWN_CONDITIONS]
    merged["conditions"] = foreign + (mine or [each for each in held.get("conditions") or () if each.get("type") in OWN_CONDITIONS])
    for key in ("reason", "message"):
        if key in held:
            merged[key] = held[key]
    return merged


def telling(reported: Json) -> tuple[str, list[tuple[Any, ...]]]:
    """What somebody may be waiting for: phase, readiness, and why containers wait; that they are being made is no news."""
    told = []
    for each in [each for field in FIELDS.values() for each in reported.get(field) or ()]:
        reason = (each["state"].get("waiting") or {}).get("reason", "")
        news = (
            each.get("ready")
            or each.get("restartCount")
            or reason not in ("", "ContainerCreating", "PodInitializing")
            or "terminated" in each["state"]
        )
        told.append((each["name"], each.get("ready"), each.get("restartCount"), reason) if news else ())
    return reported.get("phase", "Pending"), [each for each in told if each]
