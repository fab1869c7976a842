"""Which namespaces a Pod's containers get: CRI's NODE, POD, CONTAINER, TARGET. Pure.

Source: kubernetes/enhancements KEP-495; NamespaceMode of kubernetes/cri-api (the numbers are the wire's).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

Json = dict[str, Any]


class Mode(IntEnum):
    POD = 0
    CONTAINER = 1
    NODE = 2
    TARGET = 3


@dataclass(frozen=True)
class Namespaces:
    """`target` is the id of the container whose PID namespace is joined, for TARGET alone."""

    pid: Mode
    ipc: Mode
    network: Mode
    target: str = ""


def for_pod(pod: Json) -> Namespaces:
    """hostPID, then shareProcessNamespace, else a PID namespace for each container."""
    spec = pod["spec"]
    if spec.get("hostPID"):
        pid = Mode.NODE
    elif spec.get("shareProcessNamespace"):
        pid = Mode.POD
    else:
        pid = Mode.CONTAINER
    return Namespaces(pid, Mode.NODE if spec.get("hostIPC") else Mode.POD, Mode.NODE if spec.get("hostNetwork") else Mode.POD)


def for_container(pod: Json, target_id: str = "") -> Namespaces:
    """As the Pod; an ephemeral container with a target joins that container, but only where containers are isolated: in a shared or
    hostPID Pod it sees the target anyway."""
    common = for_pod(pod)
    if target_id and common.pid is Mode.CONTAINER:
        return Namespaces(Mode.TARGET, common.ipc, common.network, target_id)
    return common
