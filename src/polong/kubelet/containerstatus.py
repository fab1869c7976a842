"""containerStatuses: what a user reads about each container, from what was seen of it and why it waits. Pure.

Source: kubelet convertToAPIContainerStatuses; reasons are Kubernetes' own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from polong.kubelet.backoff import Wait
from polong.kubelet.health import Health, health_of
from polong.kubelet.identity import ID_SCHEME, go_duration, label
from polong.kubelet.observation import Container, Observation
from polong.objects import pod as pods

Json = dict[str, Any]

START_ERROR_CODE = 128
UNKNOWN_CODE = 137
_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Problem:
    """Why the last try to start a container failed. `final`: it will not be tried again (restartPolicy Never)."""

    reason: str
    message: str
    at: datetime
    final: bool = False


@dataclass(frozen=True)
class Circumstances:
    """What the worker knows beside the runtime: `problems` and `waits` by container name, `notes` (termination messages) by container
    id, `health` what probes say, by container id. `over`: nothing will be started again; `final`: and nothing runs."""

    host_ips: tuple[str, ...] = ()
    waits: Mapping[str, Wait] = field(default_factory=dict)
    problems: Mapping[str, Problem] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    health: Mapping[str, Health] = field(default_factory=dict)
    over: bool = False
    final: bool = False


def stamp(moment: datetime | None) -> str | None:
    """metav1.Time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def container_status(pod: Json, container: Json, old: Json | None, seen: Observation, known: Circumstances) -> Json:
    """One entry of status.containerStatuses. `old` is the entry that the API holds."""
    name = container["name"]
    latest = seen.latest(name)
    if latest is None:
        return _unseen(container, old, known)
    state, last = _states(pod, latest, seen.previous(name), old, known)
    running = "running" in state
    health = health_of(container, latest.id, known.health)
    status: Json = {
        "name": name,
        "state": state,
        "lastState": last,
        "ready": running and health.ready,
        "started": running and health.started,
        "restartCount": max(latest.attempt, (old or {}).get("restartCount", 0)),
        "image": latest.image or container.get("image", ""),
        "imageID": latest.image_ref or latest.image_id,
    }
    if latest.state != "created":
        status["containerID"] = ID_SCHEME + latest.id
    return status


def _states(pod: Json, latest: Container, previous: Container | None, old: Json | None, known: Circumstances) -> tuple[Json, Json]:
    before = {"terminated": _terminated(previous, known, old)} if previous is not None and not previous.alive else _old_last(latest, old)
    if latest.state == "running":
        return {"running": {"startedAt": stamp(latest.started)}}, before
    if latest.state != "exited":
        if known.final:
            return {"terminated": _lost()}, before
        return {"waiting": _waiting(latest.name, old, known)}, before
    ended = {"terminated": _terminated(latest, known, old)}
    if known.over:
        return ended, before
    if (wait := known.waits.get(latest.name)) is not None:
        return {"waiting": _crash_loop(pod, latest.name, wait)}, ended
    if (problem := known.problems.get(latest.name)) is not None:
        return {"waiting": {"reason": problem.reason, "message": problem.message}}, ended
    return ended, before


def _crash_loop(pod: Json, name: str, wait: Wait) -> Json:
    message = f"back-off {go_duration(wait.delay)} restarting failed container={name} pod={label(pod)}"
    return {"reason": "CrashLoopBackOff", "message": message}


def _terminated(container: Container, known: Circumstances, old: Json | None) -> Json:
    state: Json = {
        "exitCode": container.exit_code,
        "reason": container.reason or ("Completed" if container.exit_code == 0 else "Error"),
        "startedAt": stamp(container.started) or _EPOCH,
        "finishedAt": stamp(container.finished) or _EPOCH,
        "containerID": ID_SCHEME + container.id,
    }
    message = known.notes.get(container.id) or container.message or _old_message(container.id, old)
    if message:
        state["message"] = message
    return state


def _old_message(container_id: str, old: Json | None) -> str:
    """What was reported once about this instance stays, also when its file is gone."""
    for place in ("state", "lastState"):
        ended = ((old or {}).get(place) or {}).get("terminated") or {}
        if ended.get("containerID") == ID_SCHEME + container_id:
            return str(ended.get("message", ""))
    return ""


def _old_last(latest: Container, old: Json | None) -> Json:
    """The last end that the API knows, where the runtime has forgotten that instance."""
    for place in ("state", "lastState"):
        ended = ((old or {}).get(place) or {}).get("terminated")
        if ended and ended.get("containerID") != ID_SCHEME + latest.id:
            return {"terminated": ended}
    return {}


def _waiting(name: str, old: Json | None, known: Circumstances) -> Json:
    if (problem := known.problems.get(name)) is not None:
        return {"reason": problem.reason, "message": problem.message}
    before = ((old or {}).get("state") or {}).get("waiting")
    return dict(before) if before else {"reason": "ContainerCreating"}


def _lost(containers_id: str = "", *, deleted: bool = False) -> Json:
    message = "The container could not be located when the pod was terminated"
    if deleted:
        message = "The container could not be located when the pod was deleted.  The container used to be Running"
    state: Json = {"exitCode": UNKNOWN_CODE, "reason": "ContainerStatusUnknown", "message": message, "startedAt": None, "finishedAt": None}
    if containers_id:
        state["containerID"] = containers_id
    return state


def _unseen(container: Json, old: Json | None, known: Circumstances) -> Json:
    """No instance in the runtime: not yet created, refused, or lost with the machine's last boot."""
    name = container["name"]
    old = old or {}
    status: Json = {
        "name": name,
        "lastState": old.get("lastState") or {},
        "ready": False,
        "started": False,
        "restartCount": old.get("restartCount", 0),
        "image": old.get("image") or container.get("image", ""),
        "imageID": old.get("imageID", ""),
    }
    before = old.get("state") or {}
    problem = known.problems.get(name)
    if "terminated" in before and (known.over or not old.get("containerID")):
        status["state"] = before
    elif problem is not None and problem.final:
        moment = stamp(problem.at)
        status["state"] = {
            "terminated": {
                "exitCode": START_ERROR_CODE,
                "reason": "StartError",
                "message": problem.message,
                "startedAt": _EPOCH,
                "finishedAt": moment,
            }
        }
    elif known.final or known.over:
        status["state"] = {"terminated": _lost(old.get("containerID", ""))}
    else:
        if "running" in before:
            status["lastState"] = {"terminated": _lost(old.get("containerID", ""), deleted=True)}
        elif "terminated" in before:
            status["lastState"] = {"terminated": before["terminated"]}
        status["state"] = {"waiting": _waiting(name, old, known)}
    if container_id := old.get("containerID"):
        status["containerID"] = container_id
    return status


def known_restarts(pod: Json, seen: Observation) -> Mapping[str, int]:
    """Restart counts of containers that ran once and that the runtime has no record of."""
    entries = pods.status(pod).get("containerStatuses") or ()
    return {each["name"]: each.get("restartCount", 0) for each in entries if each.get("containerID") and seen.latest(each["name"]) is None}
