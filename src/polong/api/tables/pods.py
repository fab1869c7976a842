"""A Pod as `kubectl get` shows it. Source: pkg/printers/internalversion/printers.go (printPod)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from polong.api.tables.columns import AGE, NAME, Column, age
from polong.objects import conditions
from polong.objects import pod as pods

Json = dict[str, Any]


def _restartable(container: Json) -> bool:
    return container.get("restartPolicy") == "Always"


def _init_reason(index: int, count: int, state: Json) -> str:
    terminated, waiting = state.get("terminated"), state.get("waiting")
    if terminated is not None:
        if terminated.get("reason"):
            return f"Init:{terminated['reason']}"
        if terminated.get("signal"):
            return f"Init:Signal:{terminated['signal']}"
        return f"Init:ExitCode:{terminated.get('exitCode', 0)}"
    if waiting is not None and waiting.get("reason") not in (None, "", "PodInitializing"):
        return f"Init:{waiting['reason']}"
    return f"Init:{index}/{count}"


def _initializing(pod: Json) -> str:
    """The reason while init containers are not done; empty when they are."""
    containers = pods.spec(pod).get("initContainers") or []
    declared = {container["name"]: container for container in containers}
    for index, entry in enumerate(pods.status(pod).get("initContainerStatuses") or ()):
        state = entry.get("state") or {}
        terminated = state.get("terminated")
        if terminated is not None and terminated.get("exitCode") == 0:
            continue
        if _restartable(declared.get(entry["name"], {})) and entry.get("started"):
            continue
        return _init_reason(index, len(containers), state)
    return ""


def _container_reason(state: Json) -> str:
    waiting, terminated = state.get("waiting"), state.get("terminated")
    if waiting is not None and waiting.get("reason"):
        return str(waiting["reason"])
    if terminated is not None:
        if terminated.get("reason"):
            return str(terminated["reason"])
        if terminated.get("signal"):
            return f"Signal:{terminated['signal']}"
        return f"ExitCode:{terminated.get('exitCode', 0)}"
    return ""


def status_text(pod: Json) -> str:
    """The STATUS column: phase, or the reason that says more."""
    status = pods.status(pod)
    reason = str(status.get("reason") or status.get("phase") or "")
    scheduled = conditions.find(status.get("conditions"), "PodScheduled")
    if scheduled is not None and scheduled.get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    if initializing := _initializing(pod):
        reason = initializing
    else:
        running = False
        for entry in reversed(status.get("containerStatuses") or ()):
            state = entry.get("state") or {}
            if found := _container_reason(state):
                reason = found
            elif entry.get("ready") and state.get("running") is not None:
                running = True
        if reason == "Completed" and running:
            reason = "Running" if conditions.is_true(status.get("conditions"), "Ready") else "NotReady"
    if pods.is_terminating(pod):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if not pods.is_finished(pod):
            return "Terminating"
    return reason


def ready_text(pod: Json) -> str:
    """`1/2`: containers (side-cars too) that are ready, of all."""
    spec, status = pods.spec(pod), pods.status(pod)
    sidecars = {container["name"] for container in spec.get("initContainers") or () if _restartable(container)}
    ready = sum(1 for entry in status.get("containerStatuses") or () if entry.get("ready") and (entry.get("state") or {}).get("running"))
    ready += sum(1 for entry in status.get("initContainerStatuses") or () if entry["name"] in sidecars and entry.get("ready"))
    return f"{ready}/{len(spec.get('containers') or ()) + len(sidecars)}"


def restarts_text(pod: Json, now: datetime) -> str:
    """`3 (5m ago)`: restarts of all containers, and when the last one was."""
    status = pods.status(pod)
    entries = list(status.get("initContainerStatuses") or ())
    if not _initializing(pod):
        sidecars = {container["name"] for container in pods.sidecars(pod)}
        entries = [entry for entry in entries if entry["name"] in sidecars] + list(status.get("containerStatuses") or ())
    count = sum(int(entry.get("restartCount", 0)) for entry in entries)
    ends = [((entry.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for entry in entries]
    last = max((end for end in ends if end), default="")
    return f"{count} ({age(last, now)} ago)" if count and last else str(count)


def _gates(pod: Json) -> str:
    gates = pods.spec(pod).get("readinessGates") or ()
    if not gates:
        return "<none>"
    found = pods.status(pod).get("conditions")
    return f"{sum(conditions.is_true(found, gate['conditionType']) for gate in gates)}/{len(gates)}"


def _ip(pod: Json) -> str:
    status = pods.status(pod)
    ips = status.get("podIPs") or ()
    return str(ips[0]["ip"] if ips else status.get("podIP") or "<none>")


COLUMNS = (
    NAME,
    Column("Ready", lambda pod, _: ready_text(pod), description="The aggregate readiness state of this pod for accepting traffic."),
    Column("Status", lambda pod, _: status_text(pod), description="The aggregate status of the containers in this pod."),
    Column("Restarts", restarts_text, description="The number of times the containers in this pod have been restarted."),
    AGE,
    Column("IP", lambda pod, _: _ip(pod), priority=1, description="Address of the pod."),
    Column("Node", lambda pod, _: str(pods.spec(pod).get("nodeName") or "<none>"), priority=1, description="Node that runs the pod."),
    Column(
        "Nominated Node",
        lambda pod, _: str(pods.status(pod).get("nominatedNodeName") or "<none>"),
        priority=1,
        description="Node that preemption would free for the pod.",
    ),
    Column("Readiness Gates", lambda pod, _: _gates(pod), priority=1, description="Readiness gates that are true, of all."),
)
