"""The status of each container: what a user reads about it, from what was seen of it and why it waits. Pure.

Source: kubelet convertToAPIContainerStatuses, TerminatePod; reasons and messages are Kubernetes' own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from polong.kubelet import resize
from polong.kubelet.backoff import Wait
from polong.kubelet.decisions import Verdict
from polong.kubelet.health import Health, health_of
from polong.kubelet.identity import ID_SCHEME, go_duration, label
from polong.kubelet.observation import Container, Observation
from polong.kubelet.resize import Pending
from polong.kubelet.restarts import restarts_after
from polong.objects import pod as pods

Json = dict[str, Any]

START_ERROR_CODE = 128
UNKNOWN_CODE = 137
NO_TARGET = "unable to find target container"
_EPOCH = "1970-01-01T00:00:00Z"
FIELDS = {
    "initContainers": "initContainerStatuses",
    "containers": "containerStatuses",
    "ephemeralContainers": "ephemeralContainerStatuses",
}


@dataclass(frozen=True)
class Problem:
    """Why the last try to start a container failed. `final`: it will not be tried again (restartPolicy Never)."""

    reason: str
    message: str
    at: datetime
    final: bool = False


@dataclass(frozen=True)
class Resizing:
    """`pending`: why the Pod was not given what it asks for; `running`: containers have not yet what it was given, for the reason
    `error` where that failed; `actuated`: what instances got, by id."""

    pending: Pending | None = None
    running: bool = False
    error: str = ""
    actuated: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Circumstances:
    """What the worker knows beside the runtime: `problems` and `waits` by container name, `notes` (termination messages) by container
    id, `health` what probes say, by container id, `verdict` why the Pod as a whole has failed. `over`: nothing will be started again;
    `final`: and the Pod is to go."""

    host_ips: tuple[str, ...] = ()
    waits: Mapping[str, Wait] = field(default_factory=dict)
    problems: Mapping[str, Problem] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    health: Mapping[str, Health] = field(default_factory=dict)
    verdict: Verdict | None = None
    over: bool = False
    final: bool = False
    resize: Resizing = field(default_factory=Resizing)


@dataclass(frozen=True)
class Scene:
    """One Pod at one moment; `old` are the entries that the API holds, by container name, `initialized`: its init containers are
    through, or were once."""

    pod: Json
    seen: Observation
    known: Circumstances
    old: Mapping[str, Json]
    initialized: bool

    @property
    def ended(self) -> bool:
        return self.known.over or self.known.final

    def problem(self, name: str) -> Problem | None:
        return self.known.problems.get(name)


def scene(pod: Json, seen: Observation, known: Circumstances) -> Scene:
    entries = [each for field_name in FIELDS.values() for each in pods.status(pod).get(field_name) or ()]
    old = {each["name"]: each for each in entries}
    return Scene(pod, seen, known, old, _initialized(pod, seen, old))


def _initialized(pod: Json, seen: Observation, old: Mapping[str, Json]) -> bool:
    """Regular containers were made, or could have been. Source: kubelet hasPodInitialized."""
    inits = pods.init_containers(pod)
    if not inits or any(seen.latest(each["name"]) or old.get(each["name"], {}).get("containerID") for each in pods.containers(pod)):
        return True
    last = seen.latest(inits[-1]["name"])
    if last is None:
        return False
    return last.state == "running" if pods.is_sidecar(inits[-1]) else last.state == "exited" and last.exit_code == 0


def stamp(moment: datetime | None) -> str | None:
    """metav1.Time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def container_status(at: Scene, kind: str, container: Json) -> Json:
    """One entry of the status; `kind` is the field of the spec that the container stands in."""
    name = container["name"]
    status = _unseen(at, kind, container) if at.seen.latest(name) is None else _seen(at, kind, container)
    if kind == "ephemeralContainers":
        status["ready"] = False
        status.pop("started")
    elif kind == "initContainers" and not pods.is_sidecar(container):
        status["ready"] = (status["state"].get("terminated") or {}).get("exitCode") == 0
    return status


# --- what the runtime holds ----------------------------------------------------------------------------------------------------------


def _seen(at: Scene, kind: str, container: Json) -> Json:
    name = container["name"]
    old = at.old.get(name)
    latest = at.seen.latest(name)
    assert latest is not None
    state, last = _states(at, kind, container, latest)
    running = "running" in state
    health = health_of(container, latest.id, at.known.health)
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
    if latest.stop_signal:
        status["stopSignal"] = latest.stop_signal
    if kind != "ephemeralContainers":
        status["resources"] = resize.reported(at.pod, container, latest, at.known.resize.actuated)
        if requests := resize.given(container).get("requests"):
            status["allocatedResources"] = requests
    if latest.user is not None and latest.state != "created":
        who = latest.user
        status["user"] = {"linux": {"uid": who.uid, "gid": who.gid, "supplementalGroups": list(who.groups)}}
    if mounts := container.get("volumeMounts"):
        status["volumeMounts"] = [_mounted(each) for each in mounts]
    return status


def _mounted(mount: Json) -> Json:
    """A VolumeMountStatus: what became of recursiveReadOnly is told for mounts that are read-only."""
    told: Json = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        told |= {"readOnly": True, "recursiveReadOnly": "Disabled" if mount.get("recursiveReadOnly") in (None, "Disabled") else "Enabled"}
    return told


def _states(at: Scene, kind: str, container: Json, latest: Container) -> tuple[Json, Json]:
    known, old, previous = at.known, at.old.get(latest.name), at.seen.previous(latest.name)
    before = {"terminated": _terminated(previous, known, old)} if previous is not None and not previous.alive else _old_last(latest, old)
    if latest.state == "running":
        return {"running": {"startedAt": stamp(latest.started)}}, before
    if latest.state != "exited":
        if known.final:
            return {"terminated": _lost()}, before
        return {"waiting": _waiting(at, latest.name)}, before
    ended = {"terminated": _terminated(latest, known, old)}
    if at.ended or kind == "ephemeralContainers":
        return ended, before
    if kind == "initContainers" and _is_of_another_sandbox(at, latest):
        return {"waiting": _waiting(at, latest.name)}, ended
    if not restarts_after(at.pod, container, latest.exit_code):
        return ended, before
    if (wait := known.waits.get(latest.name)) is not None:
        return {"waiting": _crash_loop(at.pod, latest.name, wait)}, ended
    if (problem := at.problem(latest.name)) is not None:
        return {"waiting": {"reason": problem.reason, "message": problem.message}}, ended
    return ended, before


def _is_of_another_sandbox(at: Scene, latest: Container) -> bool:
    """It is to run again in the newest."""
    sandbox = at.seen.sandbox()
    return sandbox is not None and sandbox.ready and sandbox.id != latest.sandbox_id


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


# --- what it does not ----------------------------------------------------------------------------------------------------------------


def _waiting(at: Scene, name: str) -> Json:
    if (problem := at.problem(name)) is not None:
        return {"reason": problem.reason, "message": problem.message}
    before = ((at.old.get(name) or {}).get("state") or {}).get("waiting")
    if before:
        return dict(before)
    return {"reason": "PodInitializing" if pods.init_containers(at.pod) else "ContainerCreating"}


def _lost(containers_id: str = "", *, deleted: bool = False) -> Json:
    message = "The container could not be located when the pod was terminated"
    if deleted:
        message = "The container could not be located when the pod was deleted.  The container used to be Running"
    state: Json = {"exitCode": UNKNOWN_CODE, "reason": "ContainerStatusUnknown", "message": message, "startedAt": None, "finishedAt": None}
    if containers_id:
        state["containerID"] = containers_id
    return state


def _completed() -> Json:
    message = "Unable to get init container status from container runtime and pod has been initialized, treat it as exit normally"
    return {"exitCode": 0, "reason": "Completed", "message": message, "startedAt": None, "finishedAt": None}


def _refused(problem: Problem) -> Json:
    return {
        "exitCode": START_ERROR_CODE,
        "reason": "StartError",
        "message": problem.message,
        "startedAt": _EPOCH,
        "finishedAt": stamp(problem.at),
    }


def _unseen(at: Scene, kind: str, container: Json) -> Json:
    """No instance in the runtime: not yet created, refused, or lost with the machine's last boot."""
    name = container["name"]
    old = at.old.get(name) or {}
    if kind == "ephemeralContainers" and "terminated" in (old.get("state") or {}):
        # Cleared away after its end was told: all that was known of it is what was told then.
        return {**old, "started": False}
    status: Json = {
        "name": name,
        "lastState": old.get("lastState") or {},
        "ready": False,
        "started": False,
        "restartCount": old.get("restartCount", 0),
        "image": old.get("image") or container.get("image", ""),
        "imageID": old.get("imageID", ""),
    }
    if (ended := _ended_unseen(at, kind, container, old)) is not None:
        status["state"] = {"terminated": ended}
    else:
        before = old.get("state") or {}
        if "running" in before:
            status["lastState"] = {"terminated": _lost(old.get("containerID", ""), deleted=True)}
        elif "terminated" in before:
            status["lastState"] = {"terminated": before["terminated"]}
        status["state"] = {"waiting": _waiting(at, name)}
    if container_id := old.get("containerID"):
        status["containerID"] = container_id
    return status


def _ended_unseen(at: Scene, kind: str, container: Json, old: Json) -> Json | None:
    """How it ended, as far as that can be said; None where it may yet run, or never had the chance to."""
    before: Json | None = (old.get("state") or {}).get("terminated")
    step = kind == "initContainers" and not pods.is_sidecar(container)
    if before is not None and (at.ended or kind == "ephemeralContainers" or not old.get("containerID")):
        return before
    if step and at.initialized:
        return before if before is not None and before["exitCode"] == 0 else _completed()
    problem = at.problem(container["name"])
    if problem is not None and problem.final:
        return _refused(problem)
    if not at.ended:
        return None
    had_its_turn = bool(old.get("containerID")) or (kind == "containers" and at.initialized)
    return _lost(old.get("containerID", "")) if had_its_turn else None


def reported_end(pod: Json, name: str) -> str:
    """The id of the instance whose end the status of the Pod tells; "" where it tells of none."""
    ended = ((pods.container_status(pod, name) or {}).get("state") or {}).get("terminated") or {}
    return str(ended.get("containerID") or "").removeprefix(ID_SCHEME)


def known_restarts(pod: Json, seen: Observation) -> Mapping[str, int]:
    """Restart counts of containers that ran once and that the runtime has no record of."""
    entries = [each for field_name in FIELDS.values() for each in pods.status(pod).get(field_name) or ()]
    return {each["name"]: each.get("restartCount", 0) for each in entries if each.get("containerID") and seen.latest(each["name"]) is None}
