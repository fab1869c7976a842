"""Typed views of a Pod's JSON: what the API, the kubelet and the command line ask of it. Pure; never changes the object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from polong.objects import quantity

Json = dict[str, Any]

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
MIRROR = "kubernetes.io/config.mirror"
"""Annotation of the object that stands in the API for a static Pod; its value is the static Pod's UID."""
SOURCE = "kubernetes.io/config.source"
CONTAINER_FIELDS = ("initContainers", "containers", "ephemeralContainers")
DEFAULT_GRACE_SECONDS = 30


def spec(pod: Json) -> Json:
    found: Json = pod.get("spec") or {}
    return found


def status(pod: Json) -> Json:
    found: Json = pod.get("status") or {}
    return found


def name(pod: Json) -> str:
    return str(pod.get("metadata", {}).get("name", ""))


def namespace(pod: Json) -> str:
    return str(pod.get("metadata", {}).get("namespace", ""))


def uid(pod: Json) -> str:
    return str(pod.get("metadata", {}).get("uid", ""))


def mirror_of(pod: Json) -> str:
    """The UID of the static Pod that this object says it mirrors; empty where it is a Pod of its own."""
    return str((pod.get("metadata", {}).get("annotations") or {}).get(MIRROR) or "")


def is_static(pod: Json) -> bool:
    """It comes from a file of the node (the Pod itself, or its mirror)."""
    return bool((pod.get("metadata", {}).get("annotations") or {}).get(SOURCE))


def containers(pod: Json) -> list[Json]:
    """The regular containers."""
    found: list[Json] = spec(pod).get("containers") or []
    return found


def init_containers(pod: Json) -> list[Json]:
    """In the order in which they run; some may be side-cars."""
    found: list[Json] = spec(pod).get("initContainers") or []
    return found


def ephemeral_containers(pod: Json) -> list[Json]:
    found: list[Json] = spec(pod).get("ephemeralContainers") or []
    return found


def is_init(pod: Json, container: Json) -> bool:
    return any(each["name"] == container["name"] for each in init_containers(pod))


def is_sidecar(container: Json) -> bool:
    """Of an init container: it goes on running beside the regular ones."""
    return container.get("restartPolicy") == "Always"


def sidecars(pod: Json) -> list[Json]:
    """Restartable init containers, in start order."""
    return [each for each in init_containers(pod) if is_sidecar(each)]


def lasting(pod: Json) -> list[Json]:
    """Those that run side by side for as long as the Pod does: side-cars, then the regular ones."""
    return [*sidecars(pod), *containers(pod)]


def is_ephemeral(pod: Json, container: Json) -> bool:
    return any(each["name"] == container["name"] for each in ephemeral_containers(pod))


def all_containers(pod: Json) -> Iterator[tuple[str, int, Json]]:
    """Every container of every kind, in start order: (field of the spec, index, container)."""
    for field in CONTAINER_FIELDS:
        for index, container in enumerate(spec(pod).get(field) or ()):
            yield field, index, container


def find_container(pod: Json, wanted: str) -> Json | None:
    return next((container for _, _, container in all_containers(pod) if container.get("name") == wanted), None)


def container_status(pod: Json, wanted: str) -> Json | None:
    for field in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for entry in status(pod).get(field) or ():
            if entry.get("name") == wanted:
                found: Json = entry
                return found
    return None


def default_container(pod: Json) -> str:
    """What kubectl picks when none was named: the annotation's, else the first regular one."""
    named = (pod.get("metadata", {}).get("annotations") or {}).get(DEFAULT_CONTAINER, "")
    if named and find_container(pod, named) is not None:
        return str(named)
    return str(containers(pod)[0]["name"]) if containers(pod) else ""


def shares_process_namespace(pod: Json) -> bool:
    return spec(pod).get("shareProcessNamespace") is True


def host_pid(pod: Json) -> bool:
    return spec(pod).get("hostPID") is True


def host_network(pod: Json) -> bool:
    return spec(pod).get("hostNetwork") is True


def host_ipc(pod: Json) -> bool:
    return spec(pod).get("hostIPC") is True


def restart_policy(pod: Json) -> str:
    return str(spec(pod).get("restartPolicy") or "Always")


def phase(pod: Json) -> str:
    return str(status(pod).get("phase") or "")


def is_finished(pod: Json) -> bool:
    """Succeeded or Failed: no container of it will run again."""
    return phase(pod) in ("Succeeded", "Failed")


def deletion_timestamp(pod: Json) -> str:
    """When the Pod must be gone; empty while nobody deleted it."""
    return str(pod.get("metadata", {}).get("deletionTimestamp") or "")


def is_terminating(pod: Json) -> bool:
    return bool(deletion_timestamp(pod))


def grace_seconds(pod: Json) -> int:
    """Seconds between SIGTERM and SIGKILL: the deletion's own, else the spec's."""
    chosen = pod.get("metadata", {}).get("deletionGracePeriodSeconds")
    if chosen is None:
        chosen = spec(pod).get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
    return int(chosen)


def qos_class(pod: Json) -> str:
    """Guaranteed, Burstable or BestEffort: by the Pod's own resources where it has any, else over regular and init containers. Source:
    pkg/apis/core/v1/helper/qos."""
    if any((spec(pod).get("resources") or {}).get(part) for part in ("requests", "limits")):
        return _own_qos_class(spec(pod)["resources"])
    counted = [container for field, _, container in all_containers(pod) if field != "ephemeralContainers"]
    seen = False
    guaranteed = True
    for container in counted:
        resources = container.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for resource in ("cpu", "memory"):
            request = quantity.parse(requests[resource]) if resource in requests else None
            limit = quantity.parse(limits[resource]) if resource in limits else None
            seen = seen or bool(request) or bool(limit)
            if not limit or (request if request is not None else limit) != limit:
                guaranteed = False
    if not seen:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _own_qos_class(resources: Json) -> str:
    amounts = {
        part: {name: quantity.parse(text) for name, text in (resources.get(part) or {}).items() if name in ("cpu", "memory")}
        for part in ("requests", "limits")
    }
    if not any(amount for part in amounts.values() for amount in part.values()):
        return "BestEffort"
    both = amounts["limits"]
    return "Guaranteed" if set(both) == {"cpu", "memory"} and all(both.values()) and amounts["requests"] == both else "Burstable"
